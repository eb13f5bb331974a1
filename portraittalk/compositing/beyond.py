"""What lies beyond the border of a picture: a head that moves away from the border shows it.

The picture is mirrored there, which continues hair, skin and clothes well enough. A head that touches the upper border
must not be mirrored, because a second head would come down above the first: its outline closes above the border.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .head import Box


def beyond_border(pixels: Tensor, corner: tuple[int, int], size: tuple[int, int], box: Box, margin: int) -> Tensor:
    """Return the box of a picture of ``size`` (H, W) with a margin, continued beyond its border: (1, C, h, w).

    pixels: (C, n, m), a part of the picture whose upper left pixel is ``corner`` (x, y), which the box and its margin
    do not leave within the picture. Of four channels, the first three are the colours of a person, 0 where there is
    none, and the last is the share of the background.
    """
    (x0, y0, x1, y1), (height, width), (left, top) = box, size, corner
    rows = slice(max(y0 - margin, 0) - top, min(y1 + margin, height) - top)
    columns = slice(max(x0 - margin, 0) - left, min(x1 + margin, width) - left)
    shown = pixels[:, rows, columns]
    above = _mirrored(shown, max(margin - y0, 0), 1)
    if len(shown) == 4:
        above = closed_above(above)
    below = _mirrored(shown.flip(1), max(y1 + margin - height, 0), 1).flip(1)
    shown = torch.cat((above, shown, below), 1)
    before = _mirrored(shown, max(margin - x0, 0), 2)
    after = _mirrored(shown.flip(2), max(x1 + margin - width, 0), 2).flip(2)
    return torch.cat((before, shown, after), 2)[None]


def _mirrored(pixels: Tensor, count: int, dim: int) -> Tensor:
    """Return so many rows above pixels (C, h, w), or columns before them, mirrored at that border. dim: 1 or 2."""
    away = torch.arange(count - 1, -1, -1, device=pixels.device).clamp_max(pixels.shape[dim] - 1)
    return pixels.index_select(dim, away)


def closed_above(mirrored: Tensor) -> Tensor:
    """Narrow the rows of a mirrored person (4, n, w) so that the outline closes as that of a ball would.

    Half the width of a ball, squared, is ``a - b t - t^2`` at the height ``t`` above any line across it, so the outline
    above the border is known from that below it. mirrored: the person and the background's share above the border of
    the picture, the nearest row last.
    """
    count, size = mirrored.shape[1:]
    if not count:
        return mirrored
    person = torch.cat((mirrored[:3], 1 - mirrored[3:]))
    at = torch.arange(size, device=person.device, dtype=person.dtype) + 0.5
    height = torch.arange(count, 0, -1, device=person.device, dtype=person.dtype)  # rows above the border
    below = height - 1  # rows from the first of the picture to the one that is mirrored
    width = person[3].sum(1)
    half = (width / 2).square()
    growth = ((half - half[-1] + below.square()) * below).sum() / below.square().sum().clamp_min(1)
    wanted = 2 * (half[-1] - growth * height - height.square()).clamp_min(0).sqrt()
    ratio = (wanted / width.clamp_min(1)).clamp_max(1)
    middle = (person[3] * at).sum(1) / width.clamp_min(1)
    leaning = ((middle - middle[-1]) * below).sum() / below.square().sum().clamp_min(1)  # columns a row
    continued = middle[-1] - leaning * height
    across = middle[:, None] + (at - continued[:, None]) / ratio.clamp_min(1e-3)[:, None]
    down = (torch.arange(count, device=person.device, dtype=person.dtype) + 0.5)[:, None].expand_as(across)
    grid = torch.stack((across * (2 / size) - 1, down * (2 / count) - 1), -1)
    narrowed = F.grid_sample(person[None], grid[None], "bilinear", "zeros", align_corners=False)[0]
    narrowed = narrowed * (ratio > 0)[:, None]
    return torch.cat((narrowed[:3], 1 - narrowed[3:]))
