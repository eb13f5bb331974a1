"""The dark line between lips that meet.

Closed lips shade each other. A portrait whose lips stand apart holds no such shade, so when its lips meet they would
touch like two cut-out papers. The line is that of portraits with closed lips (104 of them, their lips at the median
0.36 times as bright along it as around it).
"""

import math

import torch
from torch import Tensor

from ..face.align import eye_distance
from ..smooth import decayed, power, smoothstep
from .openings import MOUTH, PARTED, height_over

MEET = 0.03  # gap in eye distances from which on lips shade each other as they close
LINE, LINE_WIDTH = 0.5, 0.008  # depth of the dark line, and its standard deviation in eye distances
ABOVE, ABOVE_REACH = 0.2, 0.02  # shade on the upper lip at the line, and eye distances over which it fades
BELOW, BELOW_REACH = 0.35, 0.012  # on the lower lip, likewise
WARMTH = (0.75, 1.0, 1.05)  # exponents of the shade per channel: light between lips is red


class LipShade:
    """The shade of lips that stand apart in a portrait; what does not depend on the frame is computed once.

    rest: (478, 3) landmarks of the portrait in pixels of a picture of ``size`` pixels a side. blur: standard deviation
    in these pixels by which the photograph is less sharp than the picture.
    """

    def __init__(self, rest: Tensor, size: int, blur: float = 0.0) -> None:
        self._size, unit = size, eye_distance(rest)
        self._width = math.hypot(LINE_WIDTH, blur / float(unit))
        self._gap = (rest[list(MOUTH.lower), 1] - rest[list(MOUTH.upper), 1]) / unit  # (K,)
        self._parted = smoothstep((self._gap - PARTED[0]) / (PARTED[1] - PARTED[0]))
        self.shows = bool(self._parted.any())

    def __call__(self, landmarks: Tensor) -> Tensor:
        """Return the factors (F, 3, size, size) in 0..1 by which lips darken. landmarks: (F, 478, 3)."""
        unit = eye_distance(landmarks)[:, None]
        upper, lower = (landmarks[:, list(edge), :2] for edge in (MOUTH.upper, MOUTH.lower))
        gap = (lower[..., 1] - upper[..., 1]) / unit
        closed = self._parted * smoothstep(1 - gap / self._gap.clamp(PARTED[0], MEET))  # (F, K)
        at = (torch.arange(self._size, device=landmarks.device) + 0.5).expand(len(landmarks), -1)
        middle = (upper + lower) / 2
        share = height_over(torch.stack((middle[..., 0], closed), -1), at)[:, None]
        down = (at[0, :, None] - height_over(middle, at)[:, None]) / unit[..., None]  # (F, size, size)
        line = LINE * LINE_WIDTH / self._width * decayed(-0.5 * (down / self._width).square())
        beside = torch.where(down < 0, ABOVE * decayed(down / ABOVE_REACH), BELOW * decayed(-down / BELOW_REACH))
        shade = (1 - share * line) * (1 - share * beside)
        return power(shade[:, None], shade.new_tensor(WARMTH)[:, None, None])
