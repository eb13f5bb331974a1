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

from ..checks import check_real
from ..errors import SettingsError
from ..face.align import bounds, extract_crop, scale_of
from ..types import Crop, Identity, Movable
from .head import Box, Head
from .lids import Lids, lids_of
from .placement import Placement, sampled
from .warp import show_sheets

LARGEST_SCALE = 8.0  # of the pasted picture

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

    portrait: (3, H, W) in 0..1. crop: its aligned crop. head: turns with the pose, if given. landmarks: (478, 3) in
    crop pixels, with which eyes can close. Everything is on the portrait's device, in its dtype.

    Arguments of its methods: flow: (F, 8, g, g), from ``flow_between``. residual: (F, 3, S, S), added to the warped
    crop. mask: (F, 1, S, S) in 0..1, the weight of the residual. instead: crops (F, 3, S, S), and their blend mask
    (F, 1, S, S) in 0..1 over everything else. pose: (F, 6), rotation and translation of the head, applied last.
    closure: (F, 2) in 0..1, how far the right and the left eye are closed.
    """

    def __init__(self, portrait: Tensor, crop: Crop, head: Head | None = None, landmarks: Tensor | None = None) -> None:
        self.data = CropData(portrait, crop)
        self._lids = None if landmarks is None else self._lids_of(landmarks)
        self._plain = _Part(portrait, crop, self.data.box)
        self._turning: tuple[Head, _Part] | None = None
        if head is not None:
            x0, y0, x1, y1 = zip(self.data.box, head.box, strict=True)
            box = (min(x0), min(y0), max(x1), max(y1))
            self._turning = head, _Part(portrait, crop, box, round(head.farthest))

    def __call__(
        self,
        flow: Tensor,
        residual: Tensor,
        mask: Tensor,
        instead: Instead | None = None,
        pose: Tensor | None = None,
        closure: Tensor | None = None,
        within: bool = False,
    ) -> Tensor:
        """Return whole pictures (F, 3, H, W) in 0..1. within: only the crop may change, so the head turns less."""
        part, head = self._plain, None
        if self._turning is not None and pose is not None and pose.any():
            head, part = self._turning
            turn = head.offsets(pose)  # (F, 2, h, w)
        x0, y0, x1, y1 = part.box
        frames = self.data.portrait.expand(len(flow), -1, -1, -1).clone()
        at_once = max(PIXELS_AT_ONCE // ((x1 - x0) * (y1 - y0)), 1)
        for start in range(0, len(flow), at_once):
            some = slice(start, start + at_once)
            turned = None if head is None else part.turned(turn[some], head.box, within)
            pictures = None if instead is None else (instead[0][some], instead[1][some])
            blink = None
            if self._lids is not None and closure is not None and closure[some].any():
                blink = (self._lids, closure[some])
            frames[some, :, y0:y1, x0:x1] = part.compose(
                flow[some], residual[some] * mask[some], pictures, turned, blink
            )
        return frames

    def crops(
        self,
        flow: Tensor,
        residual: Tensor,
        mask: Tensor,
        instead: Instead | None = None,
        pose: Tensor | None = None,
        closure: Tensor | None = None,
        size: int | None = None,
    ) -> Tensor:
        """Return the same frames as aligned crops (F, 3, T, T), to be pasted back by ``paste_back``.

        The head turns within the crop only, so that the crop fits into the portrait. size: T, by default the picture's
        resolution, but at least that of the network.
        """
        size = size or max(self.data.native_size, self.data.crop.size)
        return extract_crop(self(flow, residual, mask, instead, pose, closure, within=True), self.data.crop, size)

    def _lids_of(self, landmarks: Tensor) -> Lids:
        size = max(self.data.native_size, self.data.crop.size)
        return lids_of(extract_crop(self.data.portrait, self.data.crop, size), landmarks * (size / self.data.crop.size))


class _Part:
    """The part of a picture, a pixel box, that the frames of a portrait can change.

    margin: pixels around the box that its frames can show; beyond the border of the picture, it is mirrored.
    """

    def __init__(self, portrait: Tensor, crop: Crop, box: Box, margin: int = 0) -> None:
        self.box = x0, y0, x1, y1 = box
        height, width = y1 - y0, x1 - x0
        self._crop = crop
        self._native_size = CropData(portrait, crop).native_size
        self._placement = Placement(crop, portrait, box)
        self._picture = portrait[None, :, y0:y1, x0:x1].contiguous()
        self._source = _mirrored(portrait, box, margin)
        to_pixels = torch.linalg.inv(crop.matrix[:, :2].cpu().double()) * crop.size
        per_pixel = torch.tensor([[2 / (width + 2 * margin)], [2 / (height + 2 * margin)]])
        self._flow_to_grid = (per_pixel * to_pixels).to(portrait)
        inner = [slice(margin, margin + size) for size in (width, height)]
        along = [_centres(size + 2 * margin)[part] for size, part in zip((width, height), inner, strict=True)]
        centres = torch.meshgrid(*along, indexing="xy")
        self._rest_grid = torch.stack(centres, -1).to(portrait)
        self._grid_to_square = 2 * torch.linalg.inv(self._flow_to_grid.double()).to(portrait)
        self._at_rest = sampled(self._source, self._rest_grid[None])

    def turned(self, offsets: Tensor, box: Box, within: bool) -> Tensor:
        """Return the grid (F, h, w, 2) of the positions in the box that its pixels show, in -1..1.

        offsets: (F, 2, n, m) from ``Head.offsets``, over the pixels of ``box``. within: only the crop may change.
        """
        x0, y0, _, _ = self.box
        columns, rows = slice(box[0] - x0, box[2] - x0), slice(box[1] - y0, box[3] - y0)
        moved = torch.einsum("ij,fjyx->fiyx", self._flow_to_grid, offsets / self._crop.size)
        size = (rows.stop - rows.start, columns.stop - columns.start)
        fine = F.interpolate(moved, size, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
        if within:
            fine = fine * self._placement.window()[rows, columns, None]
        grid = self._rest_grid.repeat(len(offsets), 1, 1, 1)
        grid[:, rows, columns] += fine
        return grid

    def compose(
        self,
        flow: Tensor,
        residual: Tensor,
        instead: Instead | None,
        turned: Tensor | None,
        blink: tuple[Lids, Tensor] | None,
    ) -> Tensor:
        """Return the box (F, 3, h, w) in 0..1.

        turned: grid of a turned head, or None for the portrait's pose. blink: lids and their closure (F, 2).
        """
        rows = columns = slice(None)
        at, grid = self._placement.grid, self._rest_grid.expand(len(flow), -1, -1, -1)
        if turned is not None:
            moved = turned - self._rest_grid
            farthest = moved.flatten(0, 2).abs().amax(0) @ self._grid_to_square.abs().T
            rows, columns = self._placement.inside(1 + float(farthest.max()))
            at = self._placement.grid[rows, columns] + moved[:, rows, columns] @ self._grid_to_square.T
            grid = turned
        fields = self._placement.flow(flow, at)
        shown = show_sheets(fields, self._native_size)
        offsets = torch.einsum("ij,fjyx->fyxi", self._flow_to_grid, shown.offsets)
        number, ys, xs = shown.edges
        edge_grid = (
            grid[:, rows, columns][number, ys, xs, None] + shown.edge_offsets @ self._flow_to_grid.T
        )  # (K, 3, 2)
        if turned is None:
            grid = grid + offsets
        else:
            grid[:, rows, columns] += offsets
        boxes = sampled(self._source.expand(len(flow), -1, -1, -1), grid)
        inner = boxes[:, :, rows, columns]
        shown.mix_edges(inner, sampled(self._source, edge_grid[None])[0])
        # Sampling is not exact even at rest, so the portrait sampled at rest is subtracted and the portrait added.
        boxes.sub_(self._at_rest).add_(self._picture)
        if blink is not None:
            lids, closure = blink
            lids.close(inner, (at.movedim(-1, -3) + 1) / 2 + fields[:, :2], closure)
        self._placement.add(residual, inner, at)
        if instead is not None:
            self._placement.mix(*instead, inner, at)
        return boxes.clamp_(0, 1)


def paste_back(crops: Tensor, data: CropData, scale: float = 1.0) -> Tensor:
    """Paste edited or enlarged crops back into the picture: (F, 3, scale * H, scale * W) in 0..1.

    crops: (F, 3, T, T) in 0..1 of any side T; an unedited crop leaves the picture unchanged. scale: enlarges the whole
    picture, to keep the detail of crops enlarged beyond it. Raises SettingsError for crops that are not square RGB
    images, and for a scale below 1 or above ``LARGEST_SCALE``.
    """
    if crops.ndim != 4 or crops.shape[1] != 3 or crops.shape[2] != crops.shape[3]:
        raise SettingsError(
            f"The crops to paste back must be square RGB images, but have the shape {tuple(crops.shape)}: "
            "edit or scale them, but do not cut or pad them."
        )
    check_real("The scale of the pasted picture", scale, 1, LARGEST_SCALE)
    portrait, crop = _enlarged(data, scale)
    placement = Placement(crop, portrait)
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


def _enlarged(data: CropData, scale: float) -> tuple[Tensor, Crop]:
    if scale == 1:
        return data.portrait, data.crop
    portrait = F.interpolate(data.portrait[None], scale_factor=scale, mode="bicubic")[0].clamp(0, 1)
    matrix = torch.cat((data.crop.matrix[:, :2] / scale, data.crop.matrix[:, 2:]), 1)
    return portrait, Crop(matrix, data.crop.size, (portrait.shape[-2], portrait.shape[-1]))


def _mirrored(portrait: Tensor, box: Box, margin: int) -> Tensor:
    """Return the box of a picture with a margin, mirrored at the borders of the picture: (1, 3, h, w)."""
    x0, y0, x1, y1 = box
    rows, columns = torch.arange(y0 - margin, y1 + margin), torch.arange(x0 - margin, x1 + margin)
    height, width = portrait.shape[-2:]
    for places, size in ((rows, height), (columns, width)):
        places.copy_(torch.where(places < 0, -places - 1, places))
        places.copy_(torch.where(places >= size, 2 * size - 1 - places, places).clamp(0, size - 1))
    return portrait[None][:, :, rows.to(portrait.device)][..., columns.to(portrait.device)].contiguous()


def _centres(count: int) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count * 2 - 1
