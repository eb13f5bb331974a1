"""A person in front of a background that stands still: what the person hides is filled in once a portrait.

With the person's share ``a`` of a pixel and the background ``b`` behind it, a picture is ``p + (1 - a) b``. The
person's part ``p`` is what the picture has beyond the background's, so at rest the sum is the picture itself, whatever
the matte and the filling are; hair that the matte misses is a difference to the background and moves as well. A moved
person is ``p`` and ``a`` of where each pixel looks, over ``b`` of where it is.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.guided import box_mean
from ..smooth import smoothstep
from .head import FARTHEST, Box, Head, joined

RIM = 0.05  # eye distances around the matte in which hair may still show
CONTINUED = 5  # rims within which the background's texture fades out
JUMPS = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across)
HAIR = (0.25, 0.7)  # share of the person's colour at which a pixel begins to be hair, and is hair
FAINT = 0.02  # squared difference of colours below which hair and background look alike
SEEN = 0.02  # share of the person up to which a pixel shows its background
LARGEST = 2**20  # pixels up to which the background is filled in at full size
RELAXED = 4  # smoothing steps per level of the filling


class Backdrop:
    """The layers of a part of a picture: a person, and what stands still behind.

    portrait: (3, H, W). box: the part, x0, y0, x1, y1 in pixels. matte: (1, h, w) in 0..1, how much of each of its
    pixels the person covers. rim: pixels around the person that may show hair.
    layers: (4, h, w), the person's part of the picture, and the background's share.
    """

    def __init__(
        self, portrait: Tensor, box: Box, matte: Tensor, rim: int, on_step: Callable[[], None] = lambda: None
    ) -> None:
        self.box = x0, y0, x1, y1 = box
        picture = portrait[:, y0:y1, x0:x1]
        # Filling takes seconds for large pictures; what comes out from behind a head need not be that sharp.
        by = math.ceil(math.sqrt(picture[0].numel() / LARGEST))
        small, coarse = _resized(picture, 1 / by), _resized(matte, 1 / by)
        reach = max(rim // by, 1)
        known = 1 - _dilated(coarse > 0, reach)
        smooth = filled(small, known)
        on_step()
        hairy = with_wisps(coarse, small, smooth, reach)
        on_step()
        hidden = continued(smooth, known, reach)
        on_step()
        seen = _grown(hairy > SEEN, (reach + 1) // 2)
        size = picture.shape[-2:]
        hidden, seen, hairs, away = (
            _resized(planes, size) for planes in (hidden, seen, hairy - coarse, _distance(known))
        )
        self._distance = (by * (away - 1) if by > 1 else away)[0]
        self._background = picture.lerp(hidden, seen)
        share = 1 - (matte + hairs).clamp_max(1)
        self.layers = torch.cat((picture - share * self._background, share))

    @classmethod
    def behind(cls, head: Head, portrait: Tensor, box: Box, on_step: Callable[[], None] = lambda: None) -> "Backdrop":
        """Return the backdrop of everything that can be seen in a box and where a head moves.

        on_step: called between the parts of the work, which takes seconds for a large picture; it may raise.
        """
        margin, (height, width) = round(head.farthest), portrait.shape[-2:]
        x0, y0, x1, y1 = joined(box, head.box)
        reached = (max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, width), min(y1 + margin, height))
        matte = head.matte(reached, on_step).to(portrait)
        on_step()
        return cls(portrait, reached, matte, round(RIM * head.farthest / FARTHEST), on_step)

    def within(self, box: Box) -> Tensor:
        """Return the background (3, h, w) of a box."""
        rows, columns = self._slices(box)
        return self._background[:, rows, columns]

    def distance(self, box: Box) -> Tensor:
        """Return how many pixels at least those of a box are away from the person: (h, w)."""
        return self._distance[self._slices(box)]

    def _slices(self, box: Box) -> tuple[slice, slice]:
        x0, y0 = self.box[:2]
        return slice(box[1] - y0, box[3] - y0), slice(box[0] - x0, box[2] - x0)


def with_wisps(matte: Tensor, picture: Tensor, background: Tensor, rim: int) -> Tensor:
    """Return a matte (1, h, w) with the single hairs around it, which are too thin for a network.

    A pixel of the rim is a hair as far as its colour lies on the way from the background's to the nearest person's.
    """
    line = filled(picture, (matte > 0.95).to(matte)) - background
    way = ((picture - background) * line).sum(0, keepdim=True) / (line.square().sum(0, keepdim=True) + FAINT)
    return torch.maximum(matte, _grown(matte > 0.1, rim) * smoothstep((way - HAIR[0]) / (HAIR[1] - HAIR[0])))


def _grown(mask: Tensor, reach: int) -> Tensor:
    """Return a mask (1, h, w) grown by a number of pixels, with a soft edge inside of these."""
    half = reach // 2
    return box_mean(_dilated(mask, reach - half), half)


def _dilated(mask: Tensor, reach: int) -> Tensor:
    """Return a mask (1, h, w) grown by a number of pixels, as 0 and 1."""
    across = F.max_pool2d(mask.float(), (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(across, (2 * reach + 1, 1), 1, (reach, 0))


def filled(picture: Tensor, known: Tensor) -> Tensor:
    """Return a picture (3, H, W) with its unknown pixels filled in smoothly from the known ones.

    known: (1, H, W) in 0..1. Known pixels stay as they are. Colours are averaged down to ever coarser levels until
    every pixel knows one, and interpolated back up (pull-push; Gortler et al. 1996); a few steps towards the mean of
    the neighbours at each level take away the blocks.
    """
    levels = []
    colours, weight = picture[None] * known, known[None]
    while True:
        levels.append((colours, weight))
        if max(weight.shape[-2:]) == 1 or bool((weight > 0.5).all()):
            break
        colours, weight = (F.avg_pool2d(part, 2, ceil_mode=True, count_include_pad=False) for part in (colours, weight))
        more = (4 * weight).clamp_max(1) / weight.clamp_min(1e-6)
        colours, weight = colours * more, weight * more
    colours, weight = levels.pop()
    result = colours / weight.clamp_min(1e-6)
    for colours, weight in reversed(levels):
        guess = F.interpolate(result, weight.shape[-2:], mode="bilinear", align_corners=False)
        result = torch.addcmul(colours, 1 - weight, guess)
        for _ in range(RELAXED):
            result = torch.addcmul(colours, 1 - weight, box_mean(result[0], 1)[None])
    return result[0]


def _distance(known: Tensor) -> Tensor:
    """Return how far the pixels of a mask (1, h, w) of the background are at least from the rest: (1, h, w)."""
    height, width = known.shape[-2:]
    coarse = -F.max_pool2d(-known, 2, ceil_mode=True)[0]
    away = 2 * _to_nearest(coarse == 0).norm(dim=-1) - 2
    return away.repeat_interleave(2, 0).repeat_interleave(2, 1)[None, :height, :width]


def _resized(planes: Tensor, size: float | torch.Size) -> Tensor:
    """Return planes (C, h, w) reduced by a factor, or enlarged to a size."""
    if isinstance(size, torch.Size):
        return planes if planes.shape[-2:] == size else F.interpolate(planes[None], size, mode="bilinear")[0]
    if size == 1:
        return planes
    return F.interpolate(planes[None], [math.ceil(n * size) for n in planes.shape[-2:]], mode="area")[0]


def continued(picture: Tensor, known: Tensor, rim: int) -> Tensor:
    """Return a picture (3, H, W) with its known part mirrored into the rest, further inside ever less.

    A pixel shows what lies as far beyond the border as it lies within. known: (1, H, W), 0 or 1. rim: pixels over which
    the border is smoothed.
    """
    coarse = -F.max_pool2d(-known, 2, ceil_mode=True)[0]
    way = 2 * _to_nearest(coarse > 0).movedim(-1, 0)  # (2, h, w)
    way = box_mean(way, rim)[None]
    height, width = known.shape[-2:]
    way = F.interpolate(way, (2 * coarse.shape[0], 2 * coarse.shape[1]), mode="bilinear")[0, :, :height, :width]
    y, x = torch.meshgrid(*(torch.arange(n).to(way) + 0.5 for n in (height, width)), indexing="ij")
    mirrored = torch.stack((x + 2 * way[0], y + 2 * way[1]), -1)[None]
    grid = mirrored * (2 / mirrored.new_tensor((width, height))) - 1
    shown = F.grid_sample(torch.cat((picture, known))[None], grid.to(picture), align_corners=False)[0]
    near = 1 - smoothstep(way.norm(dim=0) / (CONTINUED * rim))
    return torch.where(known > 0, picture, picture.lerp(shown[:3], near * (shown[3:] > 0.99)))


def _to_nearest(known: Tensor) -> Tensor:
    """Return the offset (h, w, 2), x and y, from each cell to the nearest known one, by jump flooding (Rong and Tan
    2006)."""
    height, width = known.shape
    y, x = torch.meshgrid(*(torch.arange(n, device=known.device).float() for n in (height, width)), indexing="ij")
    cells = torch.stack((x, y))
    nearest = torch.where(known, cells, cells.new_tensor(-4.0 * (height + width)))
    step = 2 ** max(max(height, width) // 2, 1).bit_length()
    while step >= 1:
        for down, across in JUMPS:
            dy, dx = down * step, across * step
            if abs(dy) >= height or abs(dx) >= width:
                continue
            here = (..., _span(height, dy), _span(width, dx))
            there = (..., _span(height, -dy), _span(width, -dx))
            before, found = nearest[here], nearest[there]
            closer = (found - cells[here]).square().sum(0) < (before - cells[here]).square().sum(0)
            nearest[here] = torch.where(closer, found, before)
        step //= 2
    return (nearest - cells).movedim(0, -1)


def _span(size: int, shift: int) -> slice:
    """Return the places of a line that have another place ``shift`` further on."""
    return slice(max(-shift, 0), size - max(shift, 0))
