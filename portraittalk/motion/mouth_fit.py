"""Mouth coefficients of a filmed face that explain how its landmarks move.

Blendshape networks read a single face, and in a smile they take lips that part for raised upper lips, whatever the jaw
does. On a portrait that does not smile, raised lips bare the teeth. What the mouth does shows in how its landmarks
move: if jaw and lower lip come down, the jaw opens. So the coefficients are fitted to the movement, and what was read
decides only where the movement does not.
"""

import torch
from torch import Tensor

from ..arkit import ARKIT_NAMES
from ..face import topology as mesh
from ..models.face_basis import FaceBasis
from .geometry import ARTICULATION, LIPS, MOUTH_SHAPES, gap
from .lip_form import lip_form

POINTS = mesh.LIPS_OUTER + mesh.LIPS_INNER
CHIN = mesh.FACE_OVAL[14:23]
CHIN_WEIGHT = 0.5  # of the chin's points beside those of the lips: an outline is less exact
CLOSED = 0.15  # share of the frames, those with the most closed lips, whose mean is the mouth at rest
AT_REST = (
    0.75  # share of what is read at rest, beyond the form of the lips, that is kept; the other part is form as well
)

# Penalties in squared eye distances: on the difference to what was read, and on coefficients. Speakers use some often
# (their root mean square is 0.15 to 0.2 in the films that trained mini) and the others seldom.
READING = 0.005
OFTEN, SELDOM = 0.003, 0.01
USED_OFTEN = ("jawOpen", "mouthPucker", "mouthPress")
SWEEPS = 40


def fit_mouth(expression: Tensor, faces: Tensor, basis: FaceBasis) -> Tensor:
    """Return coefficients (F, 52) whose mouth and jaw move the landmarks of a film as they do move.

    expression: (F, 52), read in each frame. faces: (F, 478, 3), the frames' landmarks as frontal faces in eye
    distances. The other coefficients are returned as they are.
    """
    points = list(POINTS + CHIN)
    weight = torch.ones(len(points), 1).to(faces)
    weight[len(POINTS) :] = CHIN_WEIGHT
    shapes = (basis.expression[list(MOUTH_SHAPES)][:, points, :2] * weight).flatten(1)  # (C, 2 P)
    opening = gap(faces, LIPS)
    resting = opening <= opening.quantile(CLOSED)
    at_rest = faces[resting].mean(0)
    read = (expression - lip_form(expression[resting].mean(0), at_rest)).clamp_min(0)[:, MOUTH_SHAPES]
    moved = ((faces - at_rest)[:, points, :2] * weight).flatten(1)
    wanted = moved + AT_REST * read[resting].mean(0) @ shapes  # (F, 2 P)
    quadratic = shapes @ shapes.T + torch.diag(READING + _penalties().to(shapes))
    fitted = expression.clone()
    fitted[:, MOUTH_SHAPES] = _bounded_minimum(quadratic, wanted @ shapes.T + READING * read, read)
    return fitted


def _penalties() -> Tensor:
    """Return the penalty (C,) on each coefficient of the mouth; there is none on smiles, which are relative to rest."""
    names = [ARKIT_NAMES[index] for index in MOUTH_SHAPES]
    penalties = [OFTEN if name.startswith(USED_OFTEN) else SELDOM for name in names]
    return torch.tensor(
        [value if index in ARTICULATION else 0.0 for index, value in zip(MOUTH_SHAPES, penalties, strict=True)]
    )


def _bounded_minimum(quadratic: Tensor, linear: Tensor, start: Tensor) -> Tensor:
    """Return x (F, C) in 0..1 that minimises ``x quadratic x / 2 - linear x``, by coordinate descent.

    quadratic: (C, C), positive definite. linear, start: (F, C).
    """
    found = start.clone()
    for _ in range(SWEEPS):
        for index, row in enumerate(quadratic):
            step = (linear[:, index] - found @ row) / row[index]
            found[:, index] = (found[:, index] + step).clamp(0, 1)
    return found
