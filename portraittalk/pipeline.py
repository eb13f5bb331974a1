"""The arrows of the data flow, as functions over a loaded model: portrait(s), prompt and motion become frames."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from .face.detect import FaceProvider
from .face.select import FaceChoice
from .motion.track import MotionTrack
from .progress import ProgressCallback, ignore_progress
from .types import Face, Identity, SamplingSettings, Speech, Style
from .weights.model import Model

Output = Literal["full", "crop"]


def encode_identity(
    model: Model,
    images: list[Tensor],
    choice: FaceChoice | None = None,
    provider: FaceProvider | None = None,
    faces: list[list[Face]] | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Identity:
    """One person from 1..N pictures (3, H, W) in 0..1; the first is the portrait that is animated.

    choice: which face of the portrait; of further references it is the largest. faces: the faces of each picture where
    they are known already (given by hand, or by another landmarker); otherwise ``provider`` finds them, by default
    MediaPipe. Raises FaceError where there is no such face.
    """
    raise NotImplementedError


def encode_style(model: Model, prompt: str = "", negative_prompt: str = "") -> Style:
    """What the text asks for. Raises SettingsError for a prompt that the model has no text encoder for."""
    raise NotImplementedError


def animate(
    model: Model,
    identity: Identity,
    speech: Speech,
    style: Style,
    motion: MotionTrack,
    settings: SamplingSettings | None = None,
    output: Output = "full",
    progress: ProgressCallback = ignore_progress,
) -> Iterator[Tensor]:
    """The frames of a talking portrait in 0..1 on the CPU, as an iterator of chunks (n, 3, H, W) of a few frames.

    There are ``len(speech)`` frames. output: "full" pastes each back into the portrait's whole picture; "crop" gives
    the aligned crops (n, 3, S, S), for pasting back later. The settings are checked at once, the work is done as chunks
    are asked for; closing the iterator, or raising in ``progress``, ends it. Raises SettingsError, MotionError.
    """
    raise NotImplementedError
