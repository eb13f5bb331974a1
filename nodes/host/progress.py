"""Progress, previews, sentences on a node, and Cancel."""

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
    """Shows the library's progress on the node, with previews, and ends the work when the user presses Cancel.

    Cancel is raised as ComfyUI's own BaseException, which passes through the library.
    """

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(1)

    def __call__(self, progress: Progress) -> None:
        check_cancelled()
        preview = None if progress.preview is None else ("JPEG", _picture(progress.preview), PREVIEW_SIDE)
        self._bar.update_absolute(progress.done, progress.total, preview)


def check_cancelled() -> None:
    """Raises ComfyUI's interrupt when Cancel was pressed."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def _picture(image: Tensor) -> Image.Image:
    step = max(max(image.shape[-2:]) // PREVIEW_SIDE, 1)
    pixels = (image[:, ::step, ::step].detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels)


def tell(node: type[io.ComfyNode], sentence: str) -> None:
    """Writes a sentence onto the node that runs, and into the log."""
    logger.warning(sentence)
    if node.hidden is not None and node.hidden.unique_id is not None:
        PromptServer.instance.send_progress_text(sentence, node.hidden.unique_id)


def blocked(reason: str) -> ExecutionBlocker:
    """The value of an output that this mode does not have: whatever is connected to it stops with ``reason``."""
    return ExecutionBlocker(reason)
