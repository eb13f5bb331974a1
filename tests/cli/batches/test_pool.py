"""Processes side by side: one that dies fails its job only, and all end when they are stopped."""

import os
import signal
import sys
import time

import pytest

from portraittalk.cli.batches.manifest import DONE, FAILED, Record
from portraittalk.cli.batches.pool import Place, Pool, Report

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@posix
def test_a_process_that_dies_fails_its_job_and_the_others_are_made(place):
    place.speeches.joinpath("z.wav").write_bytes(place.speeches.joinpath("x.wav").read_bytes())
    jobs = place.jobs()
    killed, records = [], {}
    with Pool([Place(1)], place.out, None) as pool:
        for event in pool.run(jobs):
            if isinstance(event, Record):
                records[event.out] = event
            elif not killed:
                assert isinstance(event, Report) and event.progress.preview is None
                killed.append(event.job.name)
                os.kill(pool._workers[event.worker].process.pid, signal.SIGKILL)
        processes = [worker.process for worker in pool._workers]
    assert [process.is_alive() for process in processes] == [False, False]
    (name,) = killed
    assert records[name].status == FAILED and "ended unexpectedly (signal 9)" in records[name].error
    others = [records[job.name] for job in jobs if job.name != name]
    assert [record.status for record in others] == [DONE, DONE] and {record.threads for record in others} == {1}


@posix
def test_stopped_processes_end_at_once_and_leave_nothing_half_written(place):
    begun = None
    with pytest.raises(KeyboardInterrupt), Pool([Place(1)], place.out, None) as pool:
        for event in pool.run(place.jobs()):
            if isinstance(event, Report) and event.progress.stage == "animate":
                begun = time.monotonic()
                raise KeyboardInterrupt
    assert (
        begun is not None and time.monotonic() - begun < 2
    )  # a tenth of a second on a machine with nothing else to do
    assert not [path for path in place.out.rglob("*") if path.name.endswith((".part", ".mp4"))]
