"""Painting the tongue into an open mouth, see ``teeth``: at rest, or with its tip raised for l, n, t, d and th.

All lengths are in eye distances. Positions x, y are those of a pixel on the row of teeth, right and down.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..smooth import decayed, smoothstep
from ..types import Tongue

# Colours in 0..1 for white skin, of the tongue at rest and where the raised tip has most light.
RESTING, TIP = (0.55, 0.32, 0.30), (0.77, 0.50, 0.49)
REST_WIDTH, REST_BELOW, REST_HEIGHT = 0.17, 0.03, 0.08  # half width; middle below the edge of the lower teeth, extent
WIDTH, SAG = 0.18, 0.07  # of a raised tip: half width, and how much lower its sides are than its middle
SOFT = 0.01  # of the outline of a raised tip
HIDDEN = 0.012  # how far the top of a raised tip is hidden behind the teeth, lower ones at rest, upper ones when raised
LIT, FALL, UNDERSIDE = 0.02, 0.045, 0.4  # most light below the top of the tip, fall of it below that, and what is left
SIDES = 0.5  # light that is lost towards the sides
GROOVE, GROOVE_WIDTH = 0.1, 0.012  # depth in light and width of the groove along the tongue
OVER_TEETH = 0.018  # how far a tongue that is out covers the lower teeth
OUT = 0.4  # a tongue that is out so far lies between the teeth
THIN = 0.15  # how much of a tip is seen as soon as it is raised that far
BEHIND, ASIDE = 0.1, (0.27, 0.45)  # how far a tongue lies behind the teeth, and sines of yaw over which that is seen


def behind_teeth(x: Tensor, facing: Tensor) -> Tensor:
    """Return the positions x (F, rows, columns) of pixels on the tongue, which lies behind the row of teeth.

    In a head that turns to the side it is seen nearer to the near corner of the mouth than the teeth before it. x: on
    the row of teeth. facing: (F, 3, 3), rotations of the heads.
    """
    turned = facing[:, 0, 2, None, None]
    seen = smoothstep((turned.abs() - ASIDE[0]) / (ASIDE[1] - ASIDE[0]))
    return x - BEHIND * seen * turned


def resting_tongue(x: Tensor, below: Tensor) -> Tensor:
    """Return the visibility (F, 1, rows, columns) of a tongue at rest. below: y below the edge of the lower teeth."""
    return decayed(-(x / REST_WIDTH).square().square() - ((below - REST_BELOW) / REST_HEIGHT) ** 2)[:, None]


@dataclass(frozen=True)
class Tip:
    """A raised tip of the tongue, each (F, 1, rows, columns) in 0..1.

    alpha: of what lies behind the teeth. over_teeth: of what lies in front of the lower ones. light: on it.
    """

    alpha: Tensor
    over_teeth: Tensor
    light: Tensor


def raised_tongue(x: Tensor, y: Tensor, upper: float | Tensor, lower: Tensor, tongue: Tongue) -> Tip:
    """Return the tip of a tongue at pixels x, y (F, rows, columns).

    upper: y of the edge of the upper teeth. lower: (F, 1, 1) likewise, lower teeth.
    """
    out = (tongue.out / OUT).clamp(0, 1)[:, None, None]
    raised = torch.maximum(tongue.raised[:, None, None], out)
    lowest, highest = lower + HIDDEN, upper - HIDDEN
    aside = (x / WIDTH).square().clamp_max(1)
    down = y - torch.minimum(lowest, lowest + (highest - lowest) * raised) - SAG * aside
    seen = smoothstep(down / SOFT + 0.5) * smoothstep(2 * (1 - aside)) * (raised / THIN).clamp(0, 1)
    over_teeth = seen * out * smoothstep((lower + OVER_TEETH * (1 - aside) - y) / SOFT)
    light = UNDERSIDE + (1 - UNDERSIDE) * decayed(-(((down - LIT) / FALL) ** 2))
    groove = 1 - GROOVE * decayed(-((x / GROOVE_WIDTH) ** 2))
    light = light * groove * (1 - SIDES * aside)
    return Tip(seen[:, None], over_teeth[:, None], light[:, None])
