"""What the pipelines of our own networks share: those that draw a mouth window, and those that draw the whole crop."""

from dataclasses import dataclass, replace
from typing import ClassVar

from ..compositing.painter import Painter, painter_for
from ..models.face_basis import FaceBasis
from ..models.identity_net import IdentityNet
from ..models.motion_net import MotionNet
from ..types import Identity, Style
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

    def shown_portrait(self, identity: Identity, style: Style, text_scale: float = 1.0) -> Identity:
        """See ``PipelineBase.shown_portrait``."""
        painter = self._painter(identity, style, text_scale)
        return identity if painter is None else replace(identity, portrait=painter.portrait.to(identity.portrait))

    def _painter(self, identity: Identity, style: Style, text_scale: float) -> Painter | None:
        return painter_for(identity.portrait, identity.crop, style.look, text_scale, self.device)
