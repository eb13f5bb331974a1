"""Pasting back: frames at the resolution of the portrait picture, which differ from it only in the face.

The network works on a small aligned crop, but frames are made of the picture's own pixels: these are warped by the
flow, and only the network's residual to the warped crop is upsampled and added. So a difference is added to the
picture, feathered to zero at the crop's border. There is no seam, and where nothing moves and nothing is drawn the
frame equals the picture bit for bit.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import SettingsError
from ..face.align import bounds, extract_crop, from_crop, scale_of, to_crop
from ..smooth import smoothstep
from ..types import Crop, Identity, Movable
from .warp import show_sheets

FADE = 0.05  # width of the feathered border, as a fraction of the crop's side
Instead = tuple[Tensor, Tensor]
PIXELS_AT_ONCE = 2**18  # pixels of the box, over all frames of a batch; small enough for the CPU's caches


@dataclass(frozen=True)
class CropData(Movable):
    """Data to paste crops back: the whole portrait picture (3, H, W) in 0..1, and its aligned crop."""

    portrait: Tensor
    crop: Crop

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The pixel box (x0, y0, x1, y1) of the crop in the picture; pixels outside it never change."""
        return bounds(self.crop)

    @property
    def native_size(self) -> int:
        """The side length at which crops have the resolution of the picture."""
        return max(math.ceil(self.crop.size / scale_of(self.crop) - 1e-3), 1)


def crop_data(identity: Identity) -> CropData:
    """Return the crop data of an identity's portrait."""
    return CropData(identity.portrait, identity.crop)


class Compositor:
    """Compositor of the frames of one portrait; computes once what is the same in all frames.

    portrait: (3, H, W) in 0..1. crop: its aligned crop. Everything is on the portrait's device, in its dtype.

    Arguments of its methods: flow: (F, 8, g, g), from ``flow_between``. residual: (F, 3, S, S), added to the warped
    crop. mask: (F, 1, S, S) in 0..1, the weight of the residual. instead: crops (F, 3, S, S), and their blend mask
    (F, 1, S, S) in 0..1 over everything else.
    """

    def __init__(self, portrait: Tensor, crop: Crop) -> None:
        self.data = CropData(portrait, crop)
        self._placement = _Placement(crop, portrait)
        x0, y0, x1, y1 = self.data.box
        self._box = portrait[None, :, y0:y1, x0:x1].contiguous()
        to_pixels = torch.linalg.inv(crop.matrix[:, :2].cpu().double()) * crop.size
        self._flow_to_grid = (torch.tensor([[2 / (x1 - x0)], [2 / (y1 - y0)]]) * to_pixels).to(portrait)
        centres = torch.meshgrid(_centres(x1 - x0), _centres(y1 - y0), indexing="xy")
        self._rest_grid = torch.stack(centres, -1).to(portrait)
        self._at_rest = _sampled(self._box, self._rest_grid[None])

    def __call__(self, flow: Tensor, residual: Tensor, mask: Tensor, instead: Instead | None = None) -> Tensor:
        """Return whole pictures (F, 3, H, W) in 0..1."""
        x0, y0, x1, y1 = self.data.box
        frames = self.data.portrait.expand(len(flow), -1, -1, -1).clone()
        at_once = max(PIXELS_AT_ONCE // self._box[0, 0].numel(), 1)
        for start in range(0, len(flow), at_once):
            part = slice(start, start + at_once)
            instead_part = None if instead is None else (instead[0][part], instead[1][part])
            frames[part, :, y0:y1, x0:x1] = self._boxes(flow[part], residual[part] * mask[part], instead_part)
        return frames

    def crops(
        self, flow: Tensor, residual: Tensor, mask: Tensor, instead: Instead | None = None, size: int | None = None
    ) -> Tensor:
        """Return the same frames as aligned crops (F, 3, T, T), to be pasted back by ``paste_back``.

        size: T, by default the picture's resolution, but at least that of the network.
        """
        size = size or max(self.data.native_size, self.data.crop.size)
        return extract_crop(self(flow, residual, mask, instead), self.data.crop, size)

    def _boxes(self, flow: Tensor, residual: Tensor, instead: Instead | None) -> Tensor:
        shown = show_sheets(self._placement.flow(flow), self.data.native_size)
        offsets = torch.einsum("ij,fjyx->fyxi", self._flow_to_grid, shown.offsets)
        # Sampling is not exact even at rest, so the portrait sampled at rest is subtracted and the portrait added.
        grid = self._rest_grid + offsets
        boxes = _sampled(self._box.expand(len(flow), -1, -1, -1), grid)
        _, ys, xs = shown.edges
        edge_grid = self._rest_grid[ys, xs, None] + shown.edge_offsets @ self._flow_to_grid.T  # (K, 3, 2)
        shown.mix_edges(boxes, _sampled(self._box, edge_grid[None])[0])
        boxes.sub_(self._at_rest).add_(self._box)
        self._placement.add(residual, boxes)
        if instead is not None:
            self._placement.mix(*instead, boxes)
        return boxes.clamp_(0, 1)


def paste_back(crops: Tensor, data: CropData, scale: float = 1.0) -> Tensor:
    """Paste edited or enlarged crops back into the picture: (F, 3, scale * H, scale * W) in 0..1.

    crops: (F, 3, T, T) in 0..1 of any side T; an unedited crop leaves the picture unchanged. scale: enlarges the whole
    picture, to keep the detail of crops enlarged beyond it. Raises SettingsError for crops that are not square RGB
    images, and for a scale below 1.
    """
    if crops.ndim != 4 or crops.shape[1] != 3 or crops.shape[2] != crops.shape[3]:
        raise SettingsError(
            f"The crops to paste back must be square RGB images, but have the shape {tuple(crops.shape)}: "
            "edit or scale them, but do not cut or pad them."
        )
    if not 1 <= scale < math.inf:
        raise SettingsError(f"The scale of the pasted picture must be 1 or more, not {scale:g}.")
    portrait, crop = _enlarged(data, scale)
    placement = _Placement(crop, portrait)
    difference = crops.to(portrait) - extract_crop(portrait, crop, crops.shape[-1])
    x0, y0, x1, y1 = bounds(crop)
    frames = portrait.expand(len(crops), -1, -1, -1).clone()
    for frame, change in zip(frames, difference, strict=True):
        placement.add(change[None], frame[None, :, y0:y1, x0:x1]).clamp_(0, 1)
    return frames


def pasted_crops(crops: Tensor, data: CropData) -> Tensor:
    """Upsample crops (n, 3, S, S) to the picture's resolution and paste them back.

    This way the detail of the picture under the crops is replaced, not kept.
    """
    side = max(data.native_size, data.crop.size)
    return paste_back(F.interpolate(crops, (side, side), mode="bicubic").clamp(0, 1), data)


class _Placement:
    """Resampling of fields (F, C, n, n) on the crop's square, for any n, to the pixels of its box in the picture.

    Fields are feathered to zero at the border of the square.
    """

    def __init__(self, crop: Crop, like: Tensor) -> None:
        self._crop = crop
        x0, y0, x1, y1 = self._box = bounds(crop)
        columns = torch.arange(x0, x1, dtype=torch.float64) + 0.5
        rows = torch.arange(y0, y1, dtype=torch.float64) + 0.5
        points = to_crop(torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1), crop)
        self._grid = (points / crop.size * 2 - 1).to(like)
        self._side = crop.size / scale_of(crop)

    def flow(self, field: Tensor) -> Tensor:
        """Sample a field (F, C, n, n) at every pixel of the box: (F, C, h, w)."""
        grid = self._grid.expand(len(field), -1, -1, -1)
        return _sampled(field * fade(field.shape[-1]).to(field), grid, "bilinear", "zeros")

    def add(self, field: Tensor, boxes: Tensor) -> Tensor:
        """Add a field to the pixels of the box (F, C, h, w) in place, processing only the pixels that change."""
        size = field.shape[-1]
        field = field * fade(size).to(field)
        if size > self._side:  # downscaling needs antialiasing
            size = max(round(self._side), 1)
            field = F.interpolate(field, (size, size), mode="bicubic", antialias=True) * fade(size).to(field)
        rows, columns, shown = self.part(field, "bicubic")
        boxes[:, :, rows, columns].add_(shown)
        return boxes

    def mix(self, picture: Tensor, share: Tensor, boxes: Tensor) -> None:
        """Blend a picture (F, 3, n, n) into the box (F, 3, h, w) in place, by a mask ``share`` (F, 1, n, n)."""
        size = picture.shape[-1]
        share = share * fade(size).to(share)
        if size > self._side:
            size = max(round(self._side), 1)
            picture = F.interpolate(picture, (size, size), mode="bicubic", antialias=True)
            share = F.interpolate(share, (size, size), mode="bilinear", antialias=True)
        rows, columns, share = self.part(share)
        grid = self._grid[rows, columns].expand(len(picture), -1, -1, -1)
        if grid.numel():
            shown = _sampled(picture, grid)
            boxes[:, :, rows, columns] = boxes[:, :, rows, columns].lerp(shown, share)

    def part(self, field: Tensor, mode: str = "bilinear") -> tuple[slice, slice, Tensor]:
        """Return the rows and columns of the box where a field (F, C, n, n) is not zero, and the field there."""
        used = field.detach().abs().amax((0, 1)) > 0
        rows, columns = self._reached(used) if used.any() else (slice(0, 0), slice(0, 0))
        grid = self._grid[rows, columns].expand(len(field), -1, -1, -1)
        if not grid.numel():
            return rows, columns, field.new_zeros((*field.shape[:2], *grid.shape[1:3]))
        return rows, columns, _sampled(field, grid, mode, "zeros")

    def _reached(self, used: Tensor) -> tuple[slice, slice]:
        """Return the rows and columns of the box that can be affected by the ``used`` cells (n, n) of a field."""
        per_cell = self._crop.size / used.shape[-1]
        rows, columns = used.any(1).nonzero(), used.any(0).nonzero()
        x0, x1 = (columns.min().item() - 2) * per_cell, (columns.max().item() + 3) * per_cell
        y0, y1 = (rows.min().item() - 2) * per_cell, (rows.max().item() + 3) * per_cell
        corners = torch.tensor([(x0, y0), (x1, y0), (x0, y1), (x1, y1)], dtype=torch.float64)
        points = (from_crop(corners, self._crop) - torch.tensor(self._box[:2])).clamp_min(0)
        (left, top), (right, bottom) = points.amin(0).tolist(), points.amax(0).tolist()
        return slice(math.floor(top), math.ceil(bottom)), slice(math.floor(left), math.ceil(right))


def fade(size: int) -> Tensor:
    """Return the feather mask (size, size): 1 inside the crop, smoothly down to exactly 0 in the outermost pixels."""
    across = torch.arange(size)
    rise = smoothstep(torch.minimum(across, across.flip(0)) / (FADE * size))
    return rise[:, None] * rise


def _enlarged(data: CropData, scale: float) -> tuple[Tensor, Crop]:
    if scale == 1:
        return data.portrait, data.crop
    portrait = F.interpolate(data.portrait[None], scale_factor=scale, mode="bicubic")[0].clamp(0, 1)
    matrix = torch.cat((data.crop.matrix[:, :2] / scale, data.crop.matrix[:, 2:]), 1)
    return portrait, Crop(matrix, data.crop.size, (portrait.shape[-2], portrait.shape[-1]))


def _centres(count: int) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count * 2 - 1


def _sampled(pixels: Tensor, grid: Tensor, mode: str = "bicubic", padding: str = "border") -> Tensor:
    return F.grid_sample(pixels, grid, mode=mode, padding_mode=padding, align_corners=False)
