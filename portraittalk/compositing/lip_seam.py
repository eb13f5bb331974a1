"""Finding in the picture where closed lips meet.

Landmarkers see the line between closed lips up to 0.02 eye distances from where it is, most often in the lower lip. A
strip of one lip then goes with the other when the mouth opens, and stays on its edge as a thread in the other's colour.
That line is dark: the lips above and below it are brighter. So the darkest line near the landmarks is looked for, and
the inner edges of both lips are moved there.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from ..face.align import eye_distance
from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from .lip_lines import (
    BENT,
    BLACK,
    LOWER,
    MIDDLE,
    STEP,
    UPPER,
    along_edge,
    at_landmarks,
    cheapest,
    lowered,
    moved_edge,
    redness,
    strip_along,
)

REACH = 0.035  # eye distances above and below the landmarks up to which the line may lie
NEAREST, FARTHEST = 0.005, 0.02  # eye distances from the line within which the lips are brightest
LOWER_LIP = 0.5  # weight of a lower lip that is brighter than the line, as it is below an upper lip in the shade
SHADED = 0.3  # by how much the upper lip may be darker than the line
PULL = 100.0  # cost of a line away from the landmarks, per squared eye distance
SEEN, SURE = 0.1, 0.05  # depth of the line in the middle of the mouth, and in most columns, from which it is believed
MOST = 0.7  # of these columns
TOOTH, LIP = (0.005, 0.025), (0.035, 0.05)  # eye distances below the line where a tooth may show, and where lip is
TOOTH_COLUMNS = slice(17, 24)  # in which such a tooth is wide enough
PALE = 0.6  # redness relative to that of the lip, below which it is a tooth


def meet_at_seam(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (478, 3) of closed lips that meet where they are seen to; as they are if that is not seen.

    picture: (3, S, S) in 0..1, with an upright face. landmarks: (478, 3) in its pixels.
    """
    seam = seam_between(picture, landmarks)
    if seam is None:
        return landmarks
    for lip in (UPPER, LOWER):
        landmarks = moved_edge(landmarks, lip, at_landmarks(seam, lip))
    return landmarks


def seam_between(picture: Tensor, landmarks: Tensor) -> Tensor | None:
    """Return how far below the landmarks closed lips meet, (C,) in pixels along the mouth; None if it is not seen."""
    unit = eye_distance(landmarks)
    beside, reach = round(FARTHEST / STEP), round(REACH / STEP)
    rows = STEP * torch.arange(-reach - beside, reach + beside + 1, device=landmarks.device)
    middle = along_edge(landmarks, LIPS_INNER_UPPER).lerp(along_edge(landmarks, LIPS_INNER_LOWER), 0.5)
    light = strip_along(picture, middle, rows * unit).mean(0)  # (R, C)
    light = (light + BLACK * light[:, MIDDLE].quantile(0.9)).log()
    above, below = _brighter_beside(light)
    depth = torch.minimum(above, below)
    score = depth.clamp_min(0) + LOWER_LIP * torch.minimum(below, above + SHADED).clamp(0, 1)
    offsets = rows[beside:-beside]
    line = cheapest(PULL * offsets[:, None].square() - score, offsets, BENT)
    found = depth.gather(0, line[None])[0, MIDDLE]
    if found.median() < SEEN or (found > SURE).float().mean() < MOST:
        return None
    seam = offsets[line] * unit
    return None if _over_teeth(picture, lowered(middle, seam), unit) else seam


def _over_teeth(picture: Tensor, line: Tensor, unit: Tensor) -> bool:
    """Return whether a tooth shows below a line (C, 2): it is paler than the lip further down."""
    tooth, lip = (
        strip_along(picture, line, torch.arange(*reach, STEP, device=line.device) * unit) for reach in (TOOTH, LIP)
    )
    bright = lip.mean(0)[:, MIDDLE].quantile(0.9)
    pale, red = (redness(part, bright)[:, TOOTH_COLUMNS].median(1).values for part in (tooth, lip))
    return bool(pale.min() < PALE * red.median())


def _brighter_beside(light: Tensor) -> tuple[Tensor, Tensor]:
    """Return by how much it is brighter above and below each row on which the line may lie: (R', C) each.

    light: (R, C), with the rows that are only beside the line.
    """
    beside = round(FARTHEST / STEP)
    count = len(light) - 2 * beside
    here = avg_pool1d(light.T, 3, 1, 1).T[beside : beside + count]
    away = range(round(NEAREST / STEP), beside + 1)
    above, below = (
        torch.stack([light[beside + side * step :][:count] for step in away]).amax(0) - here for side in (-1, 1)
    )
    return above, below
