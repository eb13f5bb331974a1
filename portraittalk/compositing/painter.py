"""Applying the look that a prompt asks for, to the portrait once and to the drawn parts of each frame.

The animation works on the original photograph, for which the other networks were trained; only the output gets the
look. The look is applied once to the whole portrait, whose pixels are then warped: brush strokes stay fixed to the
face, and static areas do not flicker. AnimateNet's residual is added as the difference that it makes to the frame with
the look. Strokes that would stretch over an opening mouth are redrawn.
"""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..face.align import extract_crop, scale_of
from ..models.look_net import LookNet, colour_maps, recoloured
from ..text.networks import load_look_networks
from ..types import Crop, Structure
from .planes import dilated
from .tone import Tone, tone_of
from .warp import warp

STRONGEST = 1.5  # largest strength of a look; stronger ones clip colours
LARGEST = 2**22  # largest input of LookNet in pixels
STRIP = 2**20  # pixels that are recoloured at once
# Looks of one tone: what LookNet leaves of colours in them shows in teeth.
ONE_TONE = (
    "black and white photograph",
    "film noir",
    "sepia photograph",
    "pencil sketch",
    "charcoal drawing",
    "ink drawing",
)
BLEED = 8  # pixels, of 256 per side, by which strokes and blur reach beyond the mask


class Painter:
    """Painter of a look (L,), weights of LookNet's looks, for a portrait and its frames, on the network's device.

    Negative weights push the picture away from a look. portrait: the whole portrait with the look applied. paper:
    (1, 3, h, w), the paper grain of the whole portrait, at ``scale`` of its size.
    """

    def __init__(self, net: LookNet, look: Tensor, portrait: Tensor, crop: Crop) -> None:
        self.net, self.size, self.crop_size = net, net.config.face_size, crop.size
        self._parts = parts_of(look)
        height, width = portrait.shape[-2:]
        self.scale = min(scale_of(crop) * self.size / crop.size, math.sqrt(LARGEST / (height * width)))
        size = [max(round(n * self.scale), 8) for n in (height, width)]
        self.paper = net.paper_of(*size).to(portrait)[None]
        self._tone: Tone | None = None
        self.portrait = self._painted(portrait[None], size, self.paper)[0]
        if _of_one_tone(look, net.config.looks):
            self._tone = tone_of(extract_crop(self.portrait, crop))
            self.portrait = self._tone(self.portrait[None])[0]
        scaled = Crop(
            torch.cat((crop.matrix[:, :2] / self.scale, crop.matrix[:, 2:]), 1), crop.size, (size[0], size[1])
        )
        self._paper = extract_crop(self.paper[0] / 16 + 0.5, scaled, self.size)  # of the crop, scaled to 0..1

    @torch.no_grad()
    def difference(
        self, structure: Structure, residual: Tensor, drawn: Tensor, stretched: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the residual (F, 3, S, S) with the look applied, its mask (F, 1, S, S), and ``drawn`` with the look.

        residual, drawn: (F, 3, S, S). stretched: (F, 1, S, S) in 0..1, the blend mask of ``drawn``, under which the
        paper grain is not warped.
        """
        plain = structure.warped
        warped = warp(self._paper, structure.flow)
        static = F.interpolate(stretched, warped.shape[-2:], mode="bilinear", antialias=True)
        paper = (torch.lerp(warped, self._paper.expand_as(warped), static.expand_as(warped)) - 0.5) * 16
        shown = torch.lerp(plain + residual * structure.mask, drawn, stretched.expand_as(drawn))
        both = torch.cat((plain, shown.clamp(0, 1)))
        before, after = self._painted(both, [self.size, self.size], torch.cat((paper, paper))).chunk(2)
        reach = round(BLEED * self.crop_size / self.size)
        return after - before, dilated(structure.mask, reach), after

    def _painted(self, pictures: Tensor, size: list[int], paper: Tensor) -> Tensor:
        """Apply the look to pictures (B, 3, H, W). size: of LookNet's input. paper: (B, 3, *size)."""
        small = pictures
        if list(pictures.shape[-2:]) != size:
            small = F.interpolate(pictures, size, mode="bicubic", antialias=True).clamp(0, 1)
        result = pictures
        for mixture, strength in self._parts:
            maps = strength * colour_maps(self.net, small, mixture, paper)
            result = result + _in_strips(pictures, maps) - pictures
        result = result.clamp(0, 1)
        return result if self._tone is None else self._tone(result)


def painter_for(
    portrait: Tensor, crop: Crop, look: Tensor | None, text_scale: float, device: torch.device
) -> Painter | None:
    """Return the painter of a look (L,), times the text scale, for a portrait (3, H, W); None without a look."""
    if look is None or not text_scale:
        return None
    net = copy.deepcopy(load_look_networks().net).to(device)
    return Painter(net, text_scale * look.to(device), portrait.to(device), crop)


def _of_one_tone(look: Tensor, names: Sequence[str]) -> bool:
    """Return whether a look (L,) asks for a monochrome picture only."""
    asked = {name for name, weight in zip(names, look.tolist(), strict=True) if weight > 0}
    return bool(asked) and asked.issubset(ONE_TONE)


def parts_of(look: Tensor) -> list[tuple[Tensor, float]]:
    """Split a look into positive and negative mixtures (L,) with a largest weight of 1, and their signed strengths."""
    parts = []
    for sign in (1, -1):
        weights = (sign * look).clamp_min(0)
        strength = float(weights.max())
        if strength > 0:
            parts.append((weights / strength, sign * min(strength, STRONGEST)))
    return parts


def _in_strips(pictures: Tensor, maps: Tensor) -> Tensor:
    """As ``recoloured``, in strips of rows for large pictures, as the maps take twelve values per pixel."""
    height, width = pictures.shape[-2:]
    rows = max(STRIP // (width * len(pictures)), 1)
    if height <= rows:
        return recoloured(pictures, maps)
    down = ((torch.arange(height) + 0.5) / height * 2 - 1).to(pictures)
    across = ((torch.arange(width) + 0.5) / width * 2 - 1).to(pictures)
    strips = []
    for start in range(0, height, rows):
        grid = torch.stack(torch.meshgrid(across, down[start : start + rows], indexing="xy"), -1)
        grid = grid.expand(len(pictures), -1, -1, -1)
        enlarged = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        strips.append(recoloured(pictures[..., start : start + rows, :], enlarged))
    return torch.cat(strips, -2)
