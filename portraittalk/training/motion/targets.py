"""What a tracked speaker's mouth did, as coefficients that the face basis turns back into the same mouth.

A landmark provider's blendshapes barely show rounding, stretching or a lowered lip, while the landmarks do. So the
coefficients are fitted to the landmarks: least squares on the lower face, each coefficient at least 0, drawn a little
towards what the provider said. Everything is relative to the speaker's own mouth at rest.
"""

import torch
from torch import Tensor

from ...face.rigid import apply_rigid, rigid_fit
from ...models.face_basis import FaceBasis
from ...models.motion_net import BOTH_SIDES, JAW_OPEN
from ...motion.geometry import lip_aperture

INNER_LIPS = (13, 14, 82, 87, 312, 317, 81, 178, 311, 402)
LIPS = (
    0, 17, 37, 39, 40, 61, 84, 91, 146, 181, 185, 267, 269, 270, 291, 314, 321, 375, 405, 409,
    78, 80, 88, 95, 191, 308, 310, 318, 324, 415,
)  # fmt: skip
CHIN = (152, 148, 377, 176, 400, 149, 378, 150, 379, 18, 83, 313, 200, 199, 175)
WEIGHTS = ((CHIN, 0.5), (LIPS, 1.0), (INNER_LIPS, 3.0))
PULL = 0.02  # towards the provider's blendshapes, in squared eye distances of weighted landmarks
SHRINK = 0.01  # towards 0, in the same unit
STEPS = 300


def at_rest(landmarks: Tensor, silent: Tensor) -> Tensor:
    """(F,) the frames that show the mouth at rest: silent (F,), and no further open than silence usually is."""
    gaps = lip_aperture(landmarks)
    return silent & (gaps <= gaps[silent].median())


def fit_coefficients(landmarks: Tensor, blendshapes: Tensor, rest: Tensor, basis: FaceBasis) -> Tensor:
    """Landmarks (F, 478, 3) and blendshapes (F, 52) of one speaker -> coefficients (F, len(SPOKEN_NAMES)), 0 at rest.

    rest: (F,) the frames at rest. Left and right are one: speech does not tell them apart.
    """
    still = apply_rigid(landmarks, *rigid_fit(landmarks, basis.mean.expand_as(landmarks)))
    moved = still - still[rest].mean(0)
    shown = (blendshapes - blendshapes[rest].mean(0)) @ BOTH_SIDES
    shown = (shown / BOTH_SIDES.sum(0)).clamp(min=0)
    columns = torch.einsum("ck,cpd->kpd", BOTH_SIDES, basis.expression)
    weights = torch.zeros(landmarks.shape[1], 1)
    for points, weight in WEIGHTS:
        weights[list(points)] = weight
    design = (columns * weights.sqrt()).flatten(1)  # (K, 478 * 3)
    gram = design @ design.T + (PULL + SHRINK) * torch.eye(len(design))
    moment = (moved * weights.sqrt()).flatten(1) @ design.T + PULL * shown
    step = 1 / torch.linalg.eigvalsh(gram)[-1]
    found = ahead = shown
    for index in range(STEPS):  # projected gradients with Nesterov's momentum
        last, found = found, (ahead - step * (ahead @ gram - moment)).clamp(0, 1)
        ahead = found + index / (index + 3) * (found - last)
    # The jaw makes up for what is left of the opening of the lips, which is what is seen first.
    gaps = lip_aperture(still)
    opening = BOTH_SIDES.T @ basis.aperture
    missing = (gaps - gaps[rest].mean()).clamp(min=0) + basis.rest - found @ opening
    found[:, JAW_OPEN] = (found[:, JAW_OPEN] + missing / opening[JAW_OPEN]).clamp(0, 1)
    return found
