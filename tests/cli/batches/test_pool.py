"""Processes side by side: one that dies fails its job only, and all end when they are stopped."""

import multiprocessing
import os
import signal
import sys
import time

import pytest
from warm_processes import WARM

from portraittalk.cli.batches.manifest import DONE, FAILED, Record
from portraittalk.cli.batches.pool import Place, Pool, Report

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@posix
def test_a_process_that_dies_fails_its_job_alone_and_stopped_ones_end_at_once_and_leave_nothing(place, monkeypatch):
    """Both in one pool, since each process needs time to start: one dies, the next makes a video and is stopped.

    test_batch.py has a pool of spawned processes.
    """
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: WARM)
    for name in ("y", "z"):
        place.write_speech(place.speeches / f"{name}.wav", 0.3)
    jobs = place.jobs()
    killed, records, begun = [], {}, None
    with pytest.raises(KeyboardInterrupt), Pool([Place(1)], place.out, None) as pool:
        for event in pool.run(jobs):
            if isinstance(event, Record):
                records[event.out] = event
            elif not killed:
                assert isinstance(event, Report) and event.progress.preview is None
                killed.append(event.job.name)
                os.kill(pool._workers[event.worker].process.pid, signal.SIGKILL)
            elif len(records) == 2 and event.progress.stage == "animate":
                begun = time.monotonic()
                raise KeyboardInterrupt
    # A tenth of a second on a machine with nothing else to do.
    assert begun is not None and time.monotonic() - begun < 2
    assert [worker.process.is_alive() for worker in pool._workers] == [False, False]
    first, second, _third = (job.name for job in jobs)
    assert killed == [first] and list(records) == [first, second]
    assert records[first].status == FAILED and "ended unexpectedly (signal 9)" in records[first].error
    assert records[second].status == DONE and records[second].threads == 1
    files = sorted(path.relative_to(place.out).as_posix() for path in place.out.rglob("*") if path.is_file())
    assert [name for name in files if ".unfinished/" not in name] == [second, f"thumbnails/{second}.jpg"]
    assert not any(name.endswith(".part") for name in files)
