"""A person in front of a background that stands still: what the person hides is filled in once a portrait.

With the person's share ``a`` of a pixel and the background ``b`` behind it, a picture is ``p + (1 - a) b``. The
person's part ``p`` is what the picture has beyond the background's, so at rest the sum is the picture itself, whatever
the matte and the filling are; hair that the matte misses is a difference to the background and moves as well. So would
a wall that is filled in wrongly where the matte is only faint: what shows nothing but background by its colours
(``bare_background``) is not filled in. A moved person is ``p`` and ``a`` of where each pixel looks, over ``b`` of where
it is.
"""

import math
from collections.abc import Callable, MutableMapping

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from ..face.guided import box_mean
from ..smooth import smoothstep
from .bare_background import bare_background
from .filling import filled
from .head import FARTHEST, Box, Head, joined
from .inpaint import continued
from .planes import dilated, distances, resized

MARGIN = 0.025  # eye distances around what may be the person in which the background is seen, but not continued
RIM = 0.05  # eye distances around the matte in which hair may still show
HAIR = (0.25, 0.7)  # share of the person's colour at which a pixel begins to be hair, and is hair
FAINT = 0.02  # squared difference of colours below which hair and background look alike
UNCOVERED = 0.05  # difference of a colour from the background that needs nothing to cover it
FAR = 100.0  # pixels: distances from the person beyond this are not worked out
LARGEST = 2**20  # pixels up to which the background is filled in at full size

# The last backdrop of each photograph that is still held, and what it depends on besides.
_KEPT: MutableMapping[Tensor, "tuple[tuple[object, ...], Backdrop]"] = WeakTensorKeyDictionary()


class Backdrop:
    """The layers of a part of a picture: a person, and what stands still behind.

    portrait: (3, H, W). box: the part, x0, y0, x1, y1 in pixels. matte: (1, h, w) in 0..1, how much of each of its
    pixels the person covers. eye: the distance of the eyes in pixels. moves: (1, h, w), above 0 where the person may
    move; elsewhere nothing comes out from behind.
    layers: (4, h, w), the person's part of the picture, and the background's share.
    """

    def __init__(
        self,
        portrait: Tensor,
        box: Box,
        matte: Tensor,
        eye: float,
        moves: Tensor | None = None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.box = x0, y0, x1, y1 = box
        picture = portrait[:, y0:y1, x0:x1]
        # Filling takes seconds for large pictures; what comes out from behind a head need not be that sharp.
        by = math.ceil(math.sqrt(picture[0].numel() / LARGEST))
        small, coarse = resized(picture, 1 / by), resized(matte, 1 / by)
        reach = max(round(RIM * eye / by), 1)
        covered = 1 - bare_background(small, coarse, eye / by, (reach + 1) // 2)
        coarse = coarse * covered
        known = 1 - dilated(covered > 0, max(round(MARGIN * eye / by), 1))
        smooth = filled(small, known)
        on_step()
        hairy = with_wisps(coarse, small, smooth, reach)
        on_step()
        wanted = torch.ones_like(known) if moves is None else resized(moves, 1 / by)
        hidden = continued(smooth, known, wanted, eye / by, FARTHEST, on_step)
        on_step()
        unseen = box_mean(dilated(covered > 0, 1), 1)
        size = picture.shape[-2:]
        away, hairs = _distance(known, FAR / by), (hairy - coarse) * covered
        hidden, unseen, hairs, away, covered = (
            resized(planes, size) for planes in (hidden, unseen, hairs, away, covered)
        )
        self._distance = (by * (away - 1) if by > 1 else away)[0]
        self._background = picture.lerp(hidden, unseen)
        cover = torch.maximum(matte * covered + hairs, least_cover(picture, self._background)).clamp_max(1)
        share = 1 - cover
        self.layers = torch.cat((picture - share * self._background, share))

    @classmethod
    def behind(cls, head: Head, portrait: Tensor, box: Box, on_step: Callable[[], None] = lambda: None) -> "Backdrop":
        """Return the backdrop of everything that can be seen in a box and where a head moves.

        It is kept as long as the photograph, for further videos of the person. on_step: called between the parts of the
        work, which takes seconds for a large picture; it may raise.
        """
        margin, (height, width) = round(head.farthest), portrait.shape[-2:]
        x0, y0, x1, y1 = joined(box, head.box)
        reached = (max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, width), min(y1 + margin, height))
        depends_on = head.fingerprint(portrait)
        if depends_on is not None:
            kept_for, kept = _KEPT.get(portrait, (None, None))
            if kept is not None and kept_for == (reached, depends_on):
                return kept
        matte = head.matte(reached, on_step).to(portrait)
        on_step()
        moves = torch.zeros_like(matte)
        rows, columns = (slice(head.box[i] - reached[i], head.box[i + 2] - reached[i]) for i in (1, 0))
        moves[:, rows, columns] = head.moves()
        backdrop = cls(portrait, reached, matte, head.farthest / FARTHEST, moves, on_step)
        if depends_on is not None:
            _KEPT[portrait] = (reached, depends_on), backdrop
        return backdrop

    def within(self, box: Box) -> Tensor:
        """Return the background (3, h, w) of a box."""
        rows, columns = self._slices(box)
        return self._background[:, rows, columns]

    def distance(self, box: Box) -> Tensor:
        """Return how many pixels at least those of a box are away from the person, up to ``FAR``: (h, w)."""
        return self._distance[self._slices(box)]

    def _slices(self, box: Box) -> tuple[slice, slice]:
        x0, y0 = self.box[:2]
        return slice(box[1] - y0, box[3] - y0), slice(box[0] - x0, box[2] - x0)


def with_wisps(matte: Tensor, picture: Tensor, background: Tensor, rim: int) -> Tensor:
    """Return a matte (1, h, w) with the single hairs around it, which are too thin for a network.

    A pixel of the rim is a hair as far as its colour lies on the way from the background's to the nearest person's.
    """
    person = filled(resized(picture, 0.5), resized((matte > 0.95).to(matte), 0.5))  # smooth, so half of the size does
    line = resized(person, picture.shape[-2:]) - background
    way = ((picture - background) * line).sum(0, keepdim=True) / (line.square().sum(0, keepdim=True) + FAINT)
    return torch.maximum(matte, _grown(matte > 0.1, rim) * smoothstep((way - HAIR[0]) / (HAIR[1] - HAIR[0])))


def least_cover(picture: Tensor, background: Tensor) -> Tensor:
    """Return the least share (1, h, w) with which something covers a background so that a picture (3, h, w) is seen.

    With less, it would have to be brighter than white or darker than black, and show over other backgrounds as a spark
    of colours that are nowhere in the picture. Faint differences need not cover anything.
    """
    change = picture - background
    room = torch.where(change > 0, 1 - background, background)
    return ((change.abs() - UNCOVERED) / room.clamp_min(2 * UNCOVERED)).amax(0, keepdim=True).clamp(0, 1)


def _grown(mask: Tensor, reach: int) -> Tensor:
    """Return a mask (1, h, w) grown by a number of pixels, with a soft edge inside of these."""
    half = reach // 2
    return box_mean(dilated(mask, reach - half), half)


def _distance(known: Tensor, limit: float) -> Tensor:
    """Return how far the pixels of a mask (1, h, w) of the background are at least from the rest: (1, h, w).

    limit: distances beyond it are not worked out; some number that is larger stands for them.
    """
    height, width = known.shape[-2:]
    coarse = -F.max_pool2d(-known, 2, ceil_mode=True)[0]
    away = 2 * distances(coarse == 0, limit / 2 + 2) - 2
    return away.repeat_interleave(2, 0).repeat_interleave(2, 1)[None, :height, :width]
