"""Processes that have imported torch, diffusers and accelerate when they begin: they are forked from one that has.

These imports cost a process five seconds of the processor. Elsewhere than on Linux, where libraries may not survive a
fork, processes are spawned, as the batches and the preparation of data do everywhere.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

WARM = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    WARM.set_forkserver_preload(
        ["accelerate", "portraittalk.cli", "portraittalk.pipelines.load", "portraittalk.training.animate.stages"]
    )


def start(arguments: Sequence[object], said: Path, **environment: str) -> BaseProcess:
    """Start ``portraittalk`` with arguments, or a script, whose path is then the first one, in this folder.

    said: the file that receives what is printed on both streams. environment: variables in addition to those here.
    """
    given = [str(part) for part in arguments]
    process = WARM.Process(target=_run, args=(given, said, os.getcwd(), {**os.environ, **environment}))
    process.start()
    return process


def _run(arguments: list[str], said: Path, folder: str, environment: dict[str, str]) -> None:
    if sys.platform != "win32":
        os.setsid()  # so that Ctrl-C can be sent to it and its own processes alone
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which a pool holds back while it starts processes
    with open(said, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    if arguments[0].endswith(".py"):
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.argv = ["portraittalk", *arguments]
        runpy.run_module("portraittalk", run_name="__main__", alter_sys=True)
