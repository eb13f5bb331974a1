"""Pipelines that show the portrait's own pixels or redraw them, so that a prompt's look is applied to the portrait."""

from dataclasses import dataclass, replace

from ..compositing.painter import Painter, painter_for
from ..types import Identity, Style
from .shared import PipelineBase


@dataclass(frozen=True)
class PaintingPipeline(PipelineBase):
    """A pipeline that gives the portrait the look that a prompt asks for, once."""

    def shown_portrait(self, identity: Identity, style: Style, text_scale: float = 1.0) -> Identity:
        """See ``PipelineBase.shown_portrait``."""
        painter = self._painter(identity, style, text_scale)
        return identity if painter is None else replace(identity, portrait=painter.portrait.to(identity.portrait))

    def _painter(self, identity: Identity, style: Style, text_scale: float) -> Painter | None:
        return painter_for(identity.portrait, identity.crop, style.look, text_scale, self.device)
