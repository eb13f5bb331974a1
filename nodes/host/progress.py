"""Progress bar, previews, text on a node, and cancellation."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management
import comfy.model_patcher
import comfy.utils
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image
from server import PromptServer
from torch import Tensor

from ... import portraittalk
from ...portraittalk.progress import Progress, duration

logger = logging.getLogger(__name__)

PREVIEW_SIDE = 2048  # the front end labels a preview with its size: smaller ones would not say that of the video
FIRST_ESTIMATE = 2.0  # seconds of a stage after which the time left is estimated
REFRESH = 1.0  # seconds between estimates


class NodeText:
    """Text on a running node, which grows line by line. Each line is shown at once and stays after the run."""

    def __init__(self, node: type[io.ComfyNode]) -> None:
        self._id = None if node.hidden is None else node.hidden.unique_id
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line, unless it is there already."""
        if line not in self._lines:
            self._lines.append(line)
        self.show()

    def warn(self, line: str) -> None:
        """Add a line and log it as a warning."""
        logger.warning(line)
        self.add(line)

    def show(self, last: str = "") -> None:
        """Show the lines, and ``last`` below them until the next call."""
        if self._id is not None:
            PromptServer.instance.send_progress_text("\n".join([*self._lines, last] if last else self._lines), self._id)

    @contextmanager
    def with_warnings(self) -> Iterator[None]:
        """Add what the library warns of, which it only logs."""
        handler = _TextHandler(self)
        library = logging.getLogger(portraittalk.__name__)
        library.addHandler(handler)
        try:
            yield
        finally:
            library.removeHandler(handler)


class _TextHandler(logging.Handler):
    def __init__(self, text: NodeText) -> None:
        super().__init__(logging.WARNING)
        self._text = text

    def emit(self, record: logging.LogRecord) -> None:
        self._text.add(record.getMessage())


class HostProgress:
    """A progress callback that updates the node's progress bar and preview, and stops when the user cancels.

    text: where the time left is shown. Cancelling raises ComfyUI's own BaseException, which the library does not catch.
    """

    def __init__(self, text: NodeText | None = None) -> None:
        self._bar = comfy.utils.ProgressBar(1)
        self._text = text
        self._stage, self._began, self._shown = "", 0.0, 0.0
        self._before = 0  # steps of the stage that were done when it began, by an interrupted run

    def __call__(self, progress: Progress) -> None:
        check_cancelled()
        picture = None if progress.preview is None else _preview(progress.preview)
        # ComfyUI would enlarge a picture to a side that is longer than its own.
        preview = None if picture is None else ("JPEG", picture, max(picture.size))
        self._bar.update_absolute(progress.done, progress.total, preview)
        if self._text is not None:
            self._show_time_left(self._text, progress, time.monotonic())

    def _show_time_left(self, text: NodeText, progress: Progress, now: float) -> None:
        if progress.stage != self._stage:
            self._stage, self._began, self._before = progress.stage, now, progress.done
        if progress.done >= progress.total:
            text.show()
        elif now - self._began > FIRST_ESTIMATE and now - self._shown > REFRESH and progress.done > self._before:
            self._shown = now
            left = (now - self._began) / (progress.done - self._before) * (progress.total - progress.done)
            text.show(f"{progress.stage}: about {duration(left)} left")


def check_cancelled() -> None:
    """Raise ComfyUI's interrupt exception if the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def _preview(image: Tensor) -> Image.Image:
    step = max(-(-max(image.shape[-2:]) // PREVIEW_SIDE), 1)
    pixels = (image[:, ::step, ::step].detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels)


def block_output(reason: str) -> ExecutionBlocker:
    """Return the value for an output that this mode does not produce; nodes connected to it fail with ``reason``."""
    return ExecutionBlocker(reason)
