"""What the pipelines of our own networks share: those that draw a mouth window, and those that draw the whole crop."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from ..compositing.painter import Painter, painter_for
from ..models.face_basis import FaceBasis
from ..models.identity_net import IdentityNet
from ..models.motion_net import MotionNet
from ..progress import ProgressCallback, ignore_progress
from ..types import Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Checkpoint, Output, StructureOf
from .shared import PipelineBase


@dataclass(frozen=True)
class OwnPipeline(PipelineBase):
    """A pipeline with networks that this project trains.

    identity_net: pictures of the references to identity tokens. motion_net: speech to motion. basis: motion to
    landmarks.
    """

    identity_net: IdentityNet
    motion_net: MotionNet
    basis: FaceBasis

    follows_structure: ClassVar[bool] = True
    fixed_precision: ClassVar[bool] = True
    turns_head: ClassVar[bool] = True

    def render(
        self,
        identity: Identity,
        speech: Speech,
        style: Style,
        structure_of: StructureOf,
        settings: SamplingSettings,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """See ``PipelineBase.render``."""
        return self._frames(identity, speech, style, structure_of, settings, output, progress, checkpoint)

    def _frames(
        self,
        identity: Identity,
        speech: Speech,
        style: Style,
        structure_of: StructureOf,
        settings: SamplingSettings,
        output: Output,
        progress: ProgressCallback,
        checkpoint: Checkpoint,
    ) -> Iterator[Tensor]:
        """As ``render``, as a generator: nothing is computed before the first frames are asked for."""
        raise NotImplementedError  # every kind has its own way

    def shown_portrait(self, identity: Identity, style: Style, text_scale: float = 1.0) -> Identity:
        """See ``PipelineBase.shown_portrait``."""
        painter = self._painter(identity, style, text_scale)
        return identity if painter is None else replace(identity, portrait=painter.portrait.to(identity.portrait))

    def _painter(self, identity: Identity, style: Style, text_scale: float) -> Painter | None:
        return painter_for(identity.portrait, identity.crop, style.look, text_scale, self.device)
