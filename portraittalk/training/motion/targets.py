"""Motion targets: coefficients fitted to tracked landmarks, so that the face basis reproduces the speaker's mouth.

A landmark provider's blendshapes barely show rounding, stretching or a lowered lip, whereas the landmarks do. The
coefficients are therefore fitted to the landmarks: least squares on the lower face, bounded to 0..1 and weakly
regularised towards the provider's blendshapes. All is relative to the speaker's own mouth at rest.
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
PULL = 0.02  # regularisation towards the provider's blendshapes, in squared eye distances of weighted landmarks
SHRINK = 0.01  # regularisation towards 0, in the same unit
STEPS = 300


def at_rest(landmarks: Tensor, silent: Tensor) -> Tensor:
    """Return the frames (F,) with the mouth at rest: silent (F,) and with at most the median aperture of silence."""
    gaps = lip_aperture(landmarks)
    return silent & (gaps <= gaps[silent].median())


def fit_coefficients(landmarks: Tensor, blendshapes: Tensor, rest: Tensor, basis: FaceBasis) -> Tensor:
    """Fit coefficients (F, len(SPOKEN_NAMES)), 0 at rest, to a speaker's landmarks (F, 478, 3) and blendshapes (F, 52).

    rest: (F,) the frames at rest. Left and right share coefficients, since speech is symmetric.
    """
    aligned = apply_rigid(landmarks, *rigid_fit(landmarks, basis.mean.expand_as(landmarks)))
    displacements = aligned - aligned[rest].mean(0)
    prior = (blendshapes - blendshapes[rest].mean(0)) @ BOTH_SIDES
    prior = (prior / BOTH_SIDES.sum(0)).clamp(min=0)
    columns = torch.einsum("ck,cpd->kpd", BOTH_SIDES, basis.expression)
    weights = torch.zeros(landmarks.shape[1], 1)
    for points, weight in WEIGHTS:
        weights[list(points)] = weight
    design = (columns * weights.sqrt()).flatten(1)  # (K, 478 * 3)
    gram = design @ design.T + (PULL + SHRINK) * torch.eye(len(design))
    moment = (displacements * weights.sqrt()).flatten(1) @ design.T + PULL * prior
    step = 1 / torch.linalg.eigvalsh(gram)[-1]
    solution = lookahead = prior
    for index in range(STEPS):  # projected gradient descent with Nesterov momentum
        last, solution = solution, (lookahead - step * (lookahead @ gram - moment)).clamp(0, 1)
        lookahead = solution + index / (index + 3) * (solution - last)
    # The jaw compensates the remaining error of the lip aperture, which is the most visible one.
    gaps = lip_aperture(aligned)
    opening = BOTH_SIDES.T @ basis.aperture
    aperture_error = (gaps - gaps[rest].mean()).clamp(min=0) + basis.rest - solution @ opening
    solution[:, JAW_OPEN] = (solution[:, JAW_OPEN] + aperture_error / opening[JAW_OPEN]).clamp(0, 1)
    return solution
