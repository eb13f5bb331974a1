"""The look that a prompt asks for, on the portrait once and on what is drawn anew in each frame.

The portrait is animated as the photograph that it is, for which the other networks were trained; only what is shown
gets the look. It is given to the whole portrait once, whose pixels the motion then moves: brush strokes stay on the
face, and nothing flickers where nothing moves. What AnimateNet adds to a frame is added as the difference that it
makes to the frame in that look. Strokes that stretch over a mouth that opens are drawn anew.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..face.align import extract_crop, scale_of
from ..models.look_net import LookNet, colour_maps, recoloured
from ..text.networks import load_look_networks
from ..types import Crop, Structure
from .warp import warp

STRONGEST = 1.5  # beyond the look as learnt, pictures burn out
LARGEST = 2**22  # pixels of a portrait that LookNet sees at once
STRIP = 2**20  # pixels that are recoloured at once
BLEED = 8  # pixels of 256 by which what is drawn reaches beyond the mask: strokes and blur do


class Painter:
    """Gives a look (L,), weights of LookNet's looks, to a portrait and to its frames. Negative weights push the picture
    away from a look. Everything is on the network's device.

    portrait: the whole portrait in the look. paper: (1, 3, h, w), the grain of all of it, at ``scale`` of its size.
    """

    def __init__(self, net: LookNet, look: Tensor, portrait: Tensor, crop: Crop) -> None:
        self.net, self.size, self.crop_size = net, net.config.face_size, crop.size
        self._parts = parts_of(look)
        height, width = portrait.shape[-2:]
        self.scale = min(scale_of(crop) * self.size / crop.size, math.sqrt(LARGEST / (height * width)))
        seen = [max(round(n * self.scale), 8) for n in (height, width)]
        self.paper = net.paper_of(*seen).to(portrait)[None]
        self.portrait = self._painted(portrait[None], seen, self.paper)[0]
        near = Crop(torch.cat((crop.matrix[:, :2] / self.scale, crop.matrix[:, 2:]), 1), crop.size, (seen[0], seen[1]))
        self._paper = extract_crop(self.paper[0] / 16 + 0.5, near, self.size)  # of the crop, in a picture's range

    @torch.no_grad()
    def difference(
        self, structure: Structure, residual: Tensor, drawn: Tensor, stretched: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a residual (F, 3, S, S) of frames amounts to in this look, the mask (F, 1, S, S) of it, and ``drawn``
        (F, 3, S, S) in the look.

        stretched: (F, 1, S, S) in 0..1, how far a pixel is that of ``drawn``. There the paper keeps still.
        """
        plain = structure.warped
        moved = warp(self._paper, structure.flow)
        kept = F.interpolate(stretched, moved.shape[-2:], mode="bilinear", antialias=True)
        paper = (torch.lerp(moved, self._paper.expand_as(moved), kept.expand_as(moved)) - 0.5) * 16
        shown = torch.lerp(plain + residual * structure.mask, drawn, stretched.expand_as(drawn))
        both = torch.cat((plain, shown.clamp(0, 1)))
        before, after = self._painted(both, [self.size, self.size], torch.cat((paper, paper))).chunk(2)
        reach = 2 * round(BLEED * self.crop_size / self.size) + 1
        return after - before, F.max_pool2d(structure.mask, reach, stride=1, padding=reach // 2), after

    def _painted(self, pictures: Tensor, seen: list[int], paper: Tensor) -> Tensor:
        """pictures: (B, 3, H, W), of which LookNet sees ``seen`` pixels, paper: (B, 3, *seen)."""
        small = pictures
        if list(pictures.shape[-2:]) != seen:
            small = F.interpolate(pictures, seen, mode="bicubic", antialias=True).clamp(0, 1)
        result = pictures
        for mixture, strength in self._parts:
            maps = strength * colour_maps(self.net, small, mixture, paper)
            result = result + _in_strips(pictures, maps) - pictures
        return result.clamp(0, 1)


def painter_for(
    portrait: Tensor, crop: Crop, look: Tensor | None, text_scale: float, device: torch.device
) -> Painter | None:
    """The painter of a look (L,), times the text scale, for a portrait (3, H, W); None without a look."""
    if look is None or not text_scale:
        return None
    net = copy.deepcopy(load_look_networks().net).to(device)
    return Painter(net, text_scale * look.to(device), portrait.to(device), crop)


def parts_of(look: Tensor) -> list[tuple[Tensor, float]]:
    """Mixtures (L,) of looks whose largest weight is 1, and how strongly each acts: what is added, what is taken."""
    parts = []
    for sign in (1, -1):
        weights = (sign * look).clamp_min(0)
        strength = float(weights.max())
        if strength > 0:
            parts.append((weights / strength, sign * min(strength, STRONGEST)))
    return parts


def _in_strips(pictures: Tensor, maps: Tensor) -> Tensor:
    """``recoloured``, but rows of a large picture at a time: twelve numbers a pixel are many."""
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
