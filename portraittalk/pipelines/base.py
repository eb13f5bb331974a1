"""The protocol of pipelines: what every kind of model does."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..config import PortraitTalkConfig
from ..face.detect import FaceProvider
from ..face.select import LARGEST, FaceChoice
from ..media.sound import Sound
from ..memory.estimate import Estimate
from ..motion.eyes import BLINKS_PER_MINUTE
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..types import Face, Identity, SamplingSettings, Speech, Structure, Style

Output = Literal["full", "crop"]
StructureOf = Callable[[slice], Structure]


def _forget(frames: int, latents: Tensor | None) -> None:
    """Keep nothing: the run cannot be resumed after an interruption."""


@dataclass(frozen=True)
class Checkpoint:
    """The frame at which a run begins, and a callback that saves its progress.

    start: frames that an interrupted run has finished; only those after them are computed. latents: the last ones that
    were saved before that frame. save: called between two chunks with the number of frames yielded so far, if a run can
    begin there, and the latents that it would need, or None if it needs those that were saved before.
    """

    start: int = 0
    latents: Tensor | None = None
    save: Callable[[int, Tensor | None], None] = _forget


FROM_THE_START = Checkpoint()


class Pipeline(Protocol):
    """A model of one kind with its networks: makes frames from portrait, speech, prompt and motion.

    ``portraittalk.talk`` calls these methods in order; the nodes call them one by one.
    """

    @property
    def config(self) -> PortraitTalkConfig: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def modules(self) -> dict[str, nn.Module]: ...

    @classmethod
    def build(cls, config: PortraitTalkConfig, networks: Mapping[str, nn.Module], folder: Path) -> Self: ...

    @classmethod
    def memory(
        cls,
        config: PortraitTalkConfig,
        frames: int,
        settings: SamplingSettings,
        dtype: torch.dtype = torch.float16,
        device: str = "cuda",
        picture: tuple[int, int] = (0, 0),
        references: int = 1,
        offload: bool = False,
    ) -> Estimate | None: ...

    def encode_identity(
        self,
        images: list[Tensor],
        choice: FaceChoice = LARGEST,
        provider: FaceProvider | None = None,
        faces: list[list[Face]] | None = None,
        progress: ProgressCallback = ignore_progress,
    ) -> Identity: ...

    def encode_speech(self, audio: Sound, fps: float, progress: ProgressCallback = ignore_progress) -> Speech: ...

    def encode_style(self, prompt: str = "", negative_prompt: str = "") -> Style: ...

    def make_motion(
        self,
        speech: Speech,
        seed: int = 0,
        head_motion: float = 1.0,
        expression_strength: float = 1.0,
        progress: ProgressCallback = ignore_progress,
        *,
        liveliness: float = 1.0,
        blinks_per_minute: float = BLINKS_PER_MINUTE,
        style: Style | None = None,
        text_scale: float = 1.0,
    ) -> MotionTrack: ...

    def animate(
        self,
        identity: Identity,
        speech: Speech,
        style: Style | None = None,
        motion: MotionTrack | None = None,
        settings: SamplingSettings | None = None,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]: ...
