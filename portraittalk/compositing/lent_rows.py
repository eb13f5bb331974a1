"""Finding the two rows of teeth in a mouth that is straightened to the row of teeth.

A row is not told by its looks: lower teeth below a dark mouth look like upper ones in the shade of the lip. But upper
teeth stand still under the nose, and end near the line at which the lips meet. What is light further down stands.
"""

import torch
from torch import Tensor

ROWS, FRONT = 20, 0.12  # rows of a mouth that are compared, and eye distances from the middle up to which they are
LOWEST = 0.04  # eye distances below the line at which lips meet at which the middle of the upper teeth does not lie
TOO_LOW = 0.07  # likewise at which they have ended
DIP = 0.97  # brightness of a line between two rows of teeth, relative to theirs
FAINT = 0.8  # brightness of the dark above teeth that stand, relative to theirs
DARK = 0.5  # brightness between the dark and the teeth beside it at which these end
NEAR = 0.01  # eye distances from a line within which its darkest pixel is looked for
ROUNDS, PRECISE, RIDGE = 8, 0.004, 1e-4  # of the fit of an arc to the ends of teeth


def dark_above_standing(
    light: Tensor, x: Tensor, y: Tensor, top: Tensor, bottom: Tensor, seen: Tensor
) -> Tensor | None:
    """Return the darkest line (w,) above teeth that lie too low to hang; None if there are none.

    light: (h, w) brightness of the straightened mouth. x: (w,) and y: (h,) of its pixels, in eye distances. top,
    bottom, seen: (w,) of the opening, see ``LentMouth``.
    """
    down = torch.linspace(0, 1, ROWS + 1, device=y.device)
    at = top + (bottom - top) * down[:, None]  # (R, w)
    rows = ((at - y[0]) / (y[1] - y[0])).round().long().clamp(0, len(y) - 1)
    weights = seen * (x.abs() < FRONT)
    total = weights.sum().clamp_min(1e-3)
    profile, heights = ((values * weights).sum(1) / total for values in (light.gather(0, rows), at))  # (R,)
    brightest = int(profile.argmax())
    line = int(profile[: brightest + 1].argmin())
    if heights[brightest] > LOWEST and profile[line] < FAINT * profile[brightest]:
        return at[line]
    if heights[profile > FAINT * profile[brightest]].amax() < TOO_LOW:
        return None
    # Teeth that are seen from the upper lip to far below: two rows that meet.
    line = int(profile.where((heights > 0) & (heights < TOO_LOW), torch.inf).argmin())
    beside = torch.minimum(profile[: line + 1].amax(), profile[line:].amax())
    return at[line] if profile[line] < DIP * beside else None


def rows_beside(
    light: Tensor, x: Tensor, y: Tensor, top: Tensor, dark: Tensor, bottom: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Return where what hangs ends and where what stands begins, (w,) each, above and below the line ``dark`` (w,).

    Other arguments: as of ``dark_above_standing``.
    """
    down = y[:, None]
    darkest = light.where((down - dark).abs() < NEAR, torch.inf).amin(0)
    arcs = []
    for lip, sign in ((top, -1), (bottom, 1)):
        side = (down >= torch.minimum(dark, lip)) & (down <= torch.maximum(dark, lip))
        brightest = light.where(side, 0).amax(0)
        is_light = light > darkest + DARK * (brightest - darkest)
        away = (sign * (down - dark)).where(side & is_light, torch.inf).amin(0)
        edge = dark + sign * torch.minimum(away, (lip - dark).abs())
        arcs.append(_arc(x, edge, seen).clamp(top, bottom))
    return arcs[0], torch.maximum(*arcs)


def _arc(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return the parabola (w,) with the least absolute differences to points (w,), because teeth stand in an arc."""
    across = x / x.abs().amax()
    powers = torch.stack((torch.ones_like(x), across, across.square()), -1)
    ridge, robust, fitted = RIDGE * torch.eye(3).to(x), weights, y
    for _ in range(ROUNDS):
        weighted = powers.mT * robust
        fitted = powers @ torch.linalg.solve(weighted @ powers + ridge, weighted @ y)
        robust = weights / ((y - fitted).abs() + PRECISE)
    return fitted
