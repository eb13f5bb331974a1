"""Pasting drawn crops of a whole head into the picture, where the person is: the background stands still.

The crops replace the picture's pixels up to a soft rim around the person's matte, wide enough for a head that moves.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..face.align import extract_crop, eye_distance, from_crop
from ..face.matte import person_matte
from ..types import Crop
from .compose import CropData
from .placement import Placement, sampled
from .planes import dilated

REACH, SOFT = 0.4, 0.3  # eye distances around the matte that are replaced, and over which that then fades
CELLS = 16  # per eye distance, in which the rim is worked out


class FacePaste:
    """Pastes crops of one portrait; computes once what is the same in all frames.

    portrait: (3, H, W) in 0..1. landmarks: (478, 3) in pixels of the crop. on_step: called several times while the
    matte is computed, so that it can be cancelled by raising. others: (N, 478, 3), other people in the portrait.
    """

    def __init__(
        self,
        portrait: Tensor,
        crop: Crop,
        landmarks: Tensor,
        on_step: Callable[[], None] = lambda: None,
        others: Tensor | None = None,
    ) -> None:
        self.data = CropData(portrait, crop)
        placement = Placement(crop, portrait)
        in_picture = from_crop(landmarks, crop)
        around = None if others is None else from_crop(others, crop)
        matte = person_matte(portrait, in_picture, self.data.box, on_step, around)
        self._grid = placement.grid
        self._share = rim_around(matte, float(eye_distance(in_picture))) * placement.window()  # (1, h, w)

    def __call__(self, crops: Tensor) -> Tensor:
        """Return whole pictures (F, 3, H, W) in 0..1 with the crops (F, 3, S, S) pasted in."""
        native = self.data.native_size
        if crops.shape[-1] > native:
            crops = F.interpolate(crops, (native, native), mode="bicubic", antialias=True)
        x0, y0, x1, y1 = self.data.box
        frames = self.data.portrait.expand(len(crops), -1, -1, -1).clone()
        shown = sampled(crops.to(frames), self._grid.expand(len(crops), -1, -1, -1)).clamp_(0, 1)
        frames[:, :, y0:y1, x0:x1].lerp_(shown, self._share.expand_as(shown))
        return frames

    def crops(self, crops: Tensor) -> Tensor:
        """Return the same frames as crops (F, 3, T, T), at least of the picture's resolution."""
        crop = self.data.crop
        return extract_crop(self(crops), crop, max(self.data.native_size, crop.size))


def rim_around(matte: Tensor, unit: float) -> Tensor:
    """Return a matte (1, h, w) grown by ``REACH`` eye distances and fading over ``SOFT``. unit: pixels of one."""
    size = [max(round(side * CELLS / unit), 1) for side in matte.shape[-2:]]
    grown = F.interpolate(matte[None], size, mode="area")
    reach, soft = round((REACH + SOFT / 2) * CELLS), round(SOFT * CELLS / 2)
    grown = dilated(grown, reach)
    grown = F.avg_pool2d(F.pad(grown, [soft] * 4, mode="replicate"), 2 * soft + 1, 1)
    return F.interpolate(grown, matte.shape[-2:], mode="bilinear")[0]
