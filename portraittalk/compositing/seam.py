"""The dark line between lips that meet.

Closed lips shade each other. A portrait whose lips stand apart holds no such shade, so when its lips meet they would
touch like two cut-out papers. The line is that of portraits with closed lips (104 of them, their lips at the median
0.36 times as bright along it as around it).
"""

import torch
from torch import Tensor

from ..face.align import eye_distance
from ..smooth import smoothstep
from .openings import MOUTH, PARTED, height_over

MEET = 0.03  # gap in eye distances from which on lips shade each other as they close
LINE, LINE_WIDTH = 0.5, 0.008  # depth of the dark line, and its standard deviation in eye distances
ABOVE, ABOVE_REACH = 0.2, 0.02  # shade on the upper lip at the line, and eye distances over which it fades
BELOW, BELOW_REACH = 0.35, 0.012  # on the lower lip, likewise
WARMTH = (0.75, 1.0, 1.05)  # exponents of the shade per channel: light between lips is red


def seam_shade(landmarks: Tensor, rest: Tensor, size: int) -> Tensor | None:
    """Return the factors (F, 3, size, size) in 0..1 by which lips that stand apart at rest darken where they meet.

    landmarks: (F, 478, 3), rest: (478, 3), those of the portrait, both in pixels of the picture. None where nothing
    darkens.
    """
    upper, lower = list(MOUTH.upper), list(MOUTH.lower)
    unit, units = eye_distance(rest), eye_distance(landmarks)[:, None]
    before, after = (rest[lower, 1] - rest[upper, 1]) / unit, (landmarks[:, lower, 1] - landmarks[:, upper, 1]) / units
    parted = smoothstep((before - PARTED[0]) / (PARTED[1] - PARTED[0]))
    closed = parted * smoothstep(1 - after / before.clamp(PARTED[0], MEET))  # (F, K)
    if not closed.any():
        return None
    at = (torch.arange(size, device=landmarks.device) + 0.5).expand(len(landmarks), -1)
    middle = (landmarks[:, upper, :2] + landmarks[:, lower, :2]) / 2
    share = height_over(torch.stack((middle[..., 0], closed), -1), at)[:, None]
    down = (at[0, :, None] - height_over(middle, at)[:, None]) / units[..., None]  # (F, size, size)
    line = LINE * torch.exp(-0.5 * (down / LINE_WIDTH).square())
    beside = torch.where(down < 0, ABOVE * torch.exp(down / ABOVE_REACH), BELOW * torch.exp(-down / BELOW_REACH))
    shade = (1 - share * line) * (1 - share * beside)
    return shade[:, None] ** shade.new_tensor(WARMTH)[:, None, None]
