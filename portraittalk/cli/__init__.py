"""The command line, ``portraittalk``: animate, batch, converse, dub, edit, evaluate, benchmark, train, weights ...

Exit codes: 0 on success, 1 if some jobs of a batch failed, 2 for a user error, explained by one sentence on stderr, 130
on Ctrl-C, 143 on SIGTERM.
"""

import os
import sys

import typer

from ..errors import PortraitTalkError
from ..memory.reuse import keep_freed_memory
from . import train_animate, train_motion  # noqa: F401  # register their commands with the `train` app
from .animate import app as animate_app
from .batch import app as batch_app
from .converse import app as converse_app
from .dub import app as dub_app
from .edit import app as edit_app
from .measure import app as measure_app
from .motion import app as motion_app
from .prepare import app as prepare_app
from .stopping import Stopped, leave, stoppable
from .train import app as train_app
from .train_adfd import app as train_adfd_app
from .train_face import app as train_face_app
from .train_looks import app as train_looks_app
from .train_text import app as train_text_app
from .train_windows import app as train_windows_app
from .weights import app as weights_app

INTERRUPTED = 130  # the exit code of Ctrl-C

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(weights_app, name="weights")
train_app.add_typer(train_adfd_app, name="adfd")
train_app.add_typer(train_face_app, name="face")
train_app.add_typer(train_looks_app, name="look")
train_app.add_typer(train_text_app, name="text")
train_app.add_typer(train_windows_app, name="window")
app.add_typer(train_app, name="train")
for commands in (animate_app, batch_app, converse_app, dub_app, edit_app, measure_app, motion_app, prepare_app):
    app.add_typer(commands)


def main() -> None:
    """Run the ``portraittalk`` script, in a process of its own."""
    # OpenMP reads this when torch is imported. Threads that wait actively for the next operation take the cores from
    # those that work: half again the time on two cores, ten times on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    try:
        run()
    except Stopped as stopped:
        stopped.end()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            leave(INTERRUPTED)
        raise


def run() -> None:
    """Run the command of ``sys.argv``. Raises SystemExit with its exit code unless it succeeds."""
    try:
        with stoppable():
            app()
    except PortraitTalkError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)


@app.callback()
def _app() -> None:
    """Turn one portrait and one speech clip into a talking-face video."""
    from .terminal import show_warnings

    show_warnings()
