"""The mouth window: a small square of the aligned crop about the lips, at a higher pixel density than the crop.

A network that draws only this square can afford the detail of teeth. The window is placed by the portrait's landmarks
and stays where it is in the crop, because the expression moves in the portrait's own pose and the head is turned later.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..face.align import eye_distance
from ..face.topology import LIPS_INNER
from ..types import Movable
from .draw import blurred, enlarged, fill
from .warp import show_sheets

SIDE = 0.3  # of the crop's side: 0.75 eye distances, so that all but the widest smiles fit in
CORNERS = (61, 291)  # of the mouth
BELOW_CORNERS = 0.105  # eye distances from the corners of the mouth down to the middle of the window: jaws drop
FEATHER = 0.06  # of the window's side, over which what is drawn fades out at its border
ABOUT_LIPS = 1.25  # enlargement of the opening of the mouth to the region that may be drawn
ABOUT_LIPS_BLUR = 0.02  # standard deviation of its edge, of the window's side


@dataclass(frozen=True)
class MouthWindow(Movable):
    """A square of the crop. corner: (2,) its left and top, and ``side``, as fractions of the crop's side."""

    corner: Tensor
    side: float = SIDE

    def to_pixels(self, points: Tensor, crop_size: float, size: int) -> Tensor:
        """Map points (..., 2 or 3) in crop pixels to pixels of the window of ``size`` pixels a side."""
        scale = size / (self.side * crop_size)
        moved = (points[..., :2] - self.corner * crop_size) * scale
        return torch.cat((moved, points[..., 2:] * scale), -1)

    def grid(self, size: int) -> Tensor:
        """Return the centres (size, size, 2) of the window's pixels, x and y as fractions of the crop's side."""
        centres = (torch.arange(size, device=self.corner.device, dtype=self.corner.dtype) + 0.5) * (self.side / size)
        return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) + self.corner


def mouth_window(landmarks: Tensor, crop_size: float) -> MouthWindow:
    """Return the window about the mouth of a portrait. landmarks: (478, 3) in crop pixels."""
    unit = eye_distance(landmarks)
    middle = landmarks[list(CORNERS), :2].mean(0)
    middle = middle + unit * middle.new_tensor((0.0, BELOW_CORNERS))
    return MouthWindow((middle / crop_size - SIDE / 2).clamp(0, 1 - SIDE))


def cut_window(image: Tensor, window: MouthWindow, size: int) -> Tensor:
    """Sample a window of ``size`` pixels a side from aligned crops (F, 3, S, S): (F, 3, size, size)."""
    grid = (window.grid(size) * 2 - 1).expand(len(image), -1, -1, -1)
    return grid_sample(image, grid, "bicubic", "border", align_corners=False).clamp(0, 1)


def warp_window(image: Tensor, covers: MouthWindow, flow: Tensor, window: MouthWindow, size: int) -> Tensor:
    """Return the window of the reference warped by a flow, without warping the rest of the crop: (F, 3, size, size).

    image: (3, n, n), the part of the reference's crop that ``covers`` describes, at any density. flow: (F, 8, g, g)
    from ``compositing.warp.flow_between``.
    """
    at_rest = window.grid(size)
    fields = grid_sample(flow, (at_rest * 2 - 1).expand(len(flow), -1, -1, -1), "bilinear", "border", False)
    shown = show_sheets(fields, size / window.side)

    def sampled(positions: Tensor) -> Tensor:
        inside = (positions - covers.corner) / covers.side
        images = image.expand(len(positions), -1, -1, -1)
        return grid_sample(images, inside * 2 - 1, "bilinear", "border", align_corners=False)

    warped = sampled(at_rest + shown.offsets.permute(0, 2, 3, 1))
    _, rows, columns = shown.edges
    shown.mix_edges(warped, sampled((at_rest[rows, columns, None] + shown.edge_offsets)[None])[0])
    return warped


def drawn_region(landmarks: Tensor, size: int, cells: int = 64) -> Tensor:
    """Return the mask (F, 1, size, size) in 0..1 of what is drawn: the lips and what they uncover.

    It fades out at the window's border. landmarks: (F, 478, 3) in pixels of the window.
    """
    lips = enlarged(landmarks[:, LIPS_INNER, :2] * (cells / size), ABOUT_LIPS)
    soft = blurred(fill(lips, cells)[:, None], ABOUT_LIPS_BLUR * cells)
    steps = (torch.arange(cells, device=soft.device, dtype=soft.dtype) + 0.5) / cells
    fade = (torch.minimum(steps, 1 - steps) / FEATHER).clamp(0, 1)
    return interpolate(soft * fade[:, None] * fade, (size, size), mode="bilinear", align_corners=False)
