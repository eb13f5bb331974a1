"""Pasting back: frames at the resolution of the portrait picture, which differ from it only in the face.

The network works on a small aligned crop, but frames are made of the picture's own pixels: these are warped by the
flow, and only the network's residual to the warped crop is upsampled and added. So a difference is added to the
picture, feathered to zero at the crop's border. There is no seam, and where nothing moves and nothing is drawn the
frame equals the picture bit for bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_real
from ..errors import SettingsError
from ..face.align import bounds, extract_crop, scale_of
from ..types import Crop, Identity, Movable
from .backdrop import Backdrop
from .head import Head, joined
from .lids import Lids, lids_of
from .part import Drawn, Instead, Part, beside
from .placement import Placement

LARGEST_SCALE = 8.0  # of the pasted picture

PIXELS_AT_ONCE = 2**21  # pixels of the box, over all frames of a batch, which bounds the memory


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
    crop pixels, with which eyes can close. Everything is on the portrait's device, in its dtype. on_step: called
    several times while that is computed, so that it can be cancelled by raising.

    Arguments of its methods: flow: (F, 8, g, g), from ``flow_between``. residual: (F, 3, S, S), added to the warped
    crop. mask: (F, 1, S, S) in 0..1, the weight of the residual. instead: crops (F, 3, S, S), and their blend mask
    (F, 1, S, S) in 0..1 over everything else. pose: (F, 6), rotation and translation of the head, applied last.
    closure: (F, 2) in 0..1, how far the right and the left eye are closed. drawn: in a window of the crop.
    """

    def __init__(
        self,
        portrait: Tensor,
        crop: Crop,
        head: Head | None = None,
        landmarks: Tensor | None = None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.data = CropData(portrait, crop)
        self._lids = None if landmarks is None else self._lids_of(landmarks)
        backdrop = None if head is None else Backdrop.behind(head, portrait, self.data.box, on_step)
        on_step()
        self._backdrop = backdrop
        self._turning: tuple[Head, Part] | None = None
        if head is not None:
            box = joined(self.data.box, head.box)
            self._turning = head, Part(portrait, crop, box, round(head.farthest), backdrop, head.box)

    def __call__(
        self,
        flow: Tensor,
        residual: Tensor,
        mask: Tensor,
        instead: Instead | None = None,
        pose: Tensor | None = None,
        closure: Tensor | None = None,
        within: bool = False,
        drawn: Drawn | None = None,
    ) -> Tensor:
        """Return whole pictures (F, 3, H, W) in 0..1. within: only the crop may change, so the head turns less."""
        if self._turning is not None and pose is not None and pose.any():
            head, part = self._turning
            turn: Tensor | None = head.offsets(pose)  # (F, 2, n, m)
        else:
            part, turn = self._plain, None
        x0, y0, x1, y1 = part.box
        portrait = self.data.portrait
        frames = portrait.new_empty(len(flow), *portrait.shape)
        for rows, columns in beside([(slice(y0, y1), slice(x0, x1))], portrait.shape[-2:]):
            frames[..., rows, columns] = portrait[..., rows, columns]
        at_once = max(PIXELS_AT_ONCE // ((x1 - x0) * (y1 - y0)), 1)
        for start in range(0, len(flow), at_once):
            some = slice(start, start + at_once)
            pictures = None if instead is None else (instead[0][some], instead[1][some])
            blink = None
            if self._lids is not None and closure is not None and closure[some].any():
                blink = (self._lids, closure[some])
            turned = None if turn is None else turn[some]
            box = frames[some, :, y0:y1, x0:x1]
            shown = None if drawn is None else drawn[some]
            part.draw(box, flow[some], residual[some] * mask[some], pictures, turned, within, blink, shown)
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
        drawn: Drawn | None = None,
    ) -> Tensor:
        """Return the same frames as aligned crops (F, 3, T, T), to be pasted back by ``paste_back``.

        The head turns within the crop only, so that the crop fits into the portrait. size: T, by default the picture's
        resolution, but at least that of the network.
        """
        size = size or max(self.data.native_size, self.data.crop.size)
        whole = self(flow, residual, mask, instead, pose, closure, True, drawn)
        return extract_crop(whole, self.data.crop, size)

    @cached_property
    def _plain(self) -> Part:
        """What the frames of a head that does not turn can change."""
        return Part(self.data.portrait, self.data.crop, self.data.box, 0, self._backdrop)

    def _lids_of(self, landmarks: Tensor) -> Lids:
        size = max(self.data.native_size, self.data.crop.size)
        return lids_of(extract_crop(self.data.portrait, self.data.crop, size), landmarks * (size / self.data.crop.size))


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
