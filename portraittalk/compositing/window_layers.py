"""From the network's pictures of the mouth window to what is pasted: tone, and a prompt's look.

The window keeps its own pixel density, unless a look is applied: looks are drawn at the crop's.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..config import PortraitTalkConfig
from ..smooth import smoothstep
from ..types import Identity, MouthWindow, Structure, View
from .draw import drawn_share, motion_mask, mouth_opening
from .lids import close_lids
from .light import veil
from .lip_shade import LipShade
from .mouth_window import blur_of, mouth_window, shown_pixels
from .painter import Painter
from .part import Drawn, Instead
from .seam_light import SeamLight
from .tone import tone_of
from .warp import warp

NOTHING = 8  # cells per side of a residual that is zero everywhere
# The network learned from films, whose mouths are hazy, and makes those of a few clear photographs hazy, too. What it
# changes is limited there: by LIMIT up to a veil of CLEAR, and not at all from FILMS on.
CLEAR, FILMS, LIMIT = 0.5, 0.8, 0.02


@dataclass(frozen=True)
class Shown:
    """The arguments of ``Compositor`` beyond the motion."""

    residual: Tensor
    mask: Tensor
    instead: Instead | None
    drawn: Drawn | None


class Layers:
    """The layers over the warped portrait of one person."""

    def __init__(self, identity: Identity, config: PortraitTalkConfig, painter: Painter | None) -> None:
        self._identity, self._painter = identity, painter
        self._size = config.crop_size
        self._portrait = View(identity.references[0], identity.landmarks)
        self._window = mouth_window(identity.landmarks, config.crop_size)
        pixels = shown_pixels(identity.close_ups[0])
        rest = self._window.to_pixels(identity.landmarks, config.crop_size, pixels)
        self._lip_shade = LipShade(rest, pixels, blur_of(identity.close_ups[0]))
        self._seam_light = SeamLight(identity.close_ups[0], config.crop_size)
        self._tone = tone_of(identity.references[0])
        self._filmed = smoothstep((veil(identity.close_ups[0].light) - CLEAR) / (FILMS - CLEAR))

    def __call__(self, structure: Structure, picture: Tensor) -> Shown:
        """Return what is pasted of the network's pictures (F, 3, W, W) of the mouth window."""
        picture = self._tone(self._trusted(picture, structure.warped))
        size = picture.shape[-1]
        landmarks = self._window.to_pixels(structure.landmarks, self._size, size)
        share = structure.mask * drawn_share(mouth_opening(landmarks, size)) * (1 - structure.borrowed)
        residual = (picture - structure.warped) * share
        if self._lip_shade.shows:
            shade, shown = self._lip_shade(landmarks), structure.warped + residual
            residual = residual + self._tone(shown * shade) - self._tone(shown)
            picture = self._tone(picture * shade)
        if self._seam_light.shows:
            light, shown = self._seam_light(landmarks, structure.flow, self._window, size), structure.warped + residual
            residual = residual + self._tone(shown + light) - self._tone(shown)
        drawn = Drawn(self._window, residual, picture, structure.borrowed)
        nothing = residual.new_zeros(len(picture), 3, NOTHING, NOTHING)
        if self._painter is None:
            return Shown(nothing, nothing[:, :1], None, drawn)
        return self._with_look(self._painter, structure, drawn)

    def _trusted(self, picture: Tensor, warped: Tensor) -> Tensor:
        """Return the network's picture, in clear photographs within ``LIMIT`` of its input ``warped``."""
        difference = picture - warped
        return warped + (LIMIT * torch.tanh(difference / LIMIT)).lerp(difference, self._filmed)

    def _with_look(self, painter: Painter, structure: Structure, drawn: Drawn) -> Shown:
        """Return everything at the density of the crop, with the look."""
        warped = warp(self._portrait.picture, structure.flow)
        warped = close_lids(warped, structure.flow, self._portrait, structure.closure)
        within = torch.cat((drawn.residual, drawn.picture.clamp(0, 1), drawn.weight), 1)
        residual, picture, weight = _in_crop(within, drawn.window, self._size).split((3, 3, 1), 1)
        picture = warped.lerp(picture, weight)
        mask = motion_mask(self._identity.landmarks, structure.landmarks, self._size)
        whole = replace(structure, warped=warped, mask=mask)
        residual, mask, picture = painter.difference(whole, residual, picture, weight)
        return Shown(residual, mask, (picture, weight), None)


def _in_crop(fields: Tensor, window: MouthWindow, size: int) -> Tensor:
    """Sample fields (F, C, W, W) of a window at the pixels of the crop: (F, C, size, size), 0 outside."""
    whole = MouthWindow(torch.zeros_like(window.corner), 1.0)
    at = (whole.grid(size) - window.corner) / window.side * 2 - 1
    return grid_sample(fields, at.expand(len(fields), -1, -1, -1), "bilinear", "zeros", align_corners=False)
