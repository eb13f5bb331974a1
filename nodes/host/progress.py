"""Progress bar, previews, messages on a node, and cancellation."""

import logging

import comfy.model_management
import comfy.model_patcher
import comfy.utils
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image
from server import PromptServer
from torch import Tensor

from ...portraittalk.progress import Progress

logger = logging.getLogger(__name__)


PREVIEW_SIDE = 512


class HostProgress:
    """A progress callback that updates the node's progress bar and preview, and stops when the user cancels.

    Cancelling raises ComfyUI's own BaseException, which the library does not catch.
    """

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(1)

    def __call__(self, progress: Progress) -> None:
        check_cancelled()
        preview = None if progress.preview is None else ("JPEG", _preview(progress.preview), PREVIEW_SIDE)
        self._bar.update_absolute(progress.done, progress.total, preview)


def check_cancelled() -> None:
    """Raise ComfyUI's interrupt exception if the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def _preview(image: Tensor) -> Image.Image:
    step = max(max(image.shape[-2:]) // PREVIEW_SIDE, 1)
    pixels = (image[:, ::step, ::step].detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels)


def warn_on_node(node: type[io.ComfyNode], message: str) -> None:
    """Log a warning and show it on the running node."""
    logger.warning(message)
    if node.hidden is not None and node.hidden.unique_id is not None:
        PromptServer.instance.send_progress_text(message, node.hidden.unique_id)


def block_output(reason: str) -> ExecutionBlocker:
    """Return the value for an output that this mode does not produce; nodes connected to it fail with ``reason``."""
    return ExecutionBlocker(reason)
