"""Ending a command on SIGTERM and SIGHUP: within a second, with a sentence, and without unfinished files."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import NoReturn

from ..output_files import remove_unfinished

# Seconds in which the main thread may end by itself. It cannot while it computes one long operation.
PATIENCE = 0.5
SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if name in signal.Signals.__members__
)


class Stopped(SystemExit):
    """Raised in the main thread by a signal. The exit code is the shell's: 128 and the signal's number."""

    def __init__(self, number: int, quiet: bool = False) -> None:
        """quiet: print nothing, in a process that another one has started."""
        super().__init__(128 + number)
        self._quiet = quiet
        self.sentence = f"Stopped by {signal.Signals(number).name}: what was not finished has been removed."

    def end(self) -> NoReturn:
        """Remove unfinished files, print the sentence and end the process, without the seconds of a regular exit."""
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        remove_unfinished()
        deadline = time.monotonic() + PATIENCE
        for child in children:
            child.join(max(deadline - time.monotonic(), 0.0))
        if self._quiet:
            os._exit(int(self.code or 1))
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # progress bars hide it
        os.write(2, f"{show_cursor}\nError: {self.sentence}\n".encode())
        os._exit(int(self.code or 1))


def leave(code: int) -> NoReturn:
    """End a process that has cleaned up, without the seconds that a regular exit takes once torch is imported."""
    for child in multiprocessing.active_children():
        child.terminate()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def stoppable(quiet: bool = False) -> Iterator[None]:
    """Let the signals end the block with ``Stopped``, or end the process if it computes without a pause.

    quiet: see ``Stopped``.

    At the end of the block, unfinished files are removed and the signals have their former effect. Signals that are
    ignored, as SIGHUP under ``nohup``, stay ignored. Does nothing outside of the main thread, where Python allows no
    handlers.
    """
    ours = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    if current_thread() is not main_thread() or not ours:
        yield
        return
    arrived, wake = socket.socketpair()
    wake.setblocking(False)
    ended = Event()
    former = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    watch = Thread(target=_watch, args=(arrived, ended, quiet), daemon=True)
    watch.start()
    for number in ours:
        signal.signal(number, partial(_stop, quiet))
    try:
        yield
    finally:
        remove_unfinished()
        ended.set()
        signal.set_wakeup_fd(former)
        wake.close()
        watch.join()
        arrived.close()
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _stop(quiet: bool, number: int, frame: FrameType | None) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # so that nothing interrupts the clean-up
    raise Stopped(number, quiet)


def _watch(arrived: socket.socket, ended: Event, quiet: bool) -> None:
    """Wait for a signal, whose number arrives on the socket, and end the process unless the block ends in time."""
    while numbers := arrived.recv(16):
        number = next((number for number in numbers if number in SIGNALS), None)
        if number is not None and not ended.wait(PATIENCE):
            Stopped(number, quiet).end()
