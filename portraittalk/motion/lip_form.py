"""The form of a person's lips, told apart from what the lips do.

Blendshape networks see one picture and do not know the person: they read full lips as puckered, and thin ones as
pressed or rolled in. Taken for movements, such coefficients end when the person begins to speak: full lips spread and
are never rounded, thin ones swell to twice their height. So what lips show at rest counts as their form, unless the
mouth is also as narrow, or as wide, as the movement would make it. And since thin lips have little to hide, they are
pressed and rolled in less than the basis says, which was fitted to other lips.
"""

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from ..face import topology as mesh
from ..models.face_basis import FaceBasis
from ..smooth import smoothstep

CORNERS = (61, 291)  # landmarks of the outer corners of the mouth
# Widths of a mouth in eye distances. Those of 62 portraits that rest are 0.56 to 0.68 (5 and 95 %).
PUCKERED, NOT_PUCKERED = 0.44, 0.54
NOT_STRETCHED, STRETCHED = 0.66, 0.74
CLOSED, PARTED = 0.03, 0.1  # gaps of the lips in eye distances up to which they rest, and from which they do not
FLATTEST = 0.35  # height of a lip, relative to its own, that pressing leaves


def _named(*stems: str) -> list[int]:
    return [index for index, name in enumerate(ARKIT_NAMES) if name.startswith(stems)]


FLATTENING, SHRUG, STRETCH = _named("mouthPress", "mouthRoll"), _named("mouthShrug"), _named("mouthStretch")
PUCKER = ARKIT_INDEX["mouthPucker"]
MIDDLES = slice(3, 8)  # of the rows of landmarks along the lips
# Upper and lower edges of the upper and the lower lip in their middles.
UPPER_EDGES = (mesh.LIPS_OUTER_UPPER[MIDDLES], mesh.LIPS_INNER_LOWER[MIDDLES])
LOWER_EDGES = (mesh.LIPS_INNER_UPPER[MIDDLES], mesh.LIPS_OUTER_LOWER[MIDDLES])


def lip_form(blendshapes: Tensor, face: Tensor) -> Tensor:
    """Return the part of coefficients (52,) that is the form of the lips, and not what they do.

    face: (478, 3), the landmarks as a frontal face in eye distances (``face.mesh.frontal``). The more the lips are
    parted, the less counts as form, but for their height.
    """
    left, right = face[CORNERS, :2]
    width = (right - left).norm()
    parted = (face[UPPER_EDGES[1], 1] - face[LOWER_EDGES[0], 1]).mean()
    share = torch.zeros_like(blendshapes)
    share[SHRUG] = 1
    share[PUCKER] = smoothstep((width - PUCKERED) / (NOT_PUCKERED - PUCKERED))
    share[STRETCH] = smoothstep((STRETCHED - width) / (STRETCHED - NOT_STRETCHED))
    share *= smoothstep((PARTED - parted) / (PARTED - CLOSED))
    share[FLATTENING] = 1
    return share * blendshapes


def kept_height(change: Tensor, face: Tensor, basis: FaceBasis) -> Tensor:
    """Return coefficients (F, 52) that press and roll lips in no further than leaves ``FLATTEST`` of their height.

    change: (F, 52), coefficients relative to those of the portrait. face: (478, 3), the portrait as a frontal face in
    eye distances.
    """
    own, heights = _heights(face), _heights(basis.expression)  # (2,), (52, 2)
    flattening = torch.zeros_like(change)
    flattening[:, FLATTENING] = change[:, FLATTENING].clamp_min(0)
    # Sums of products: a matrix product would round differently with another number of frames.
    others, flat = ((part[..., None] * heights).sum(1) for part in (change - flattening, flattening))  # (F, 2) each
    filled = (-flat / (own + others - FLATTEST * own).clamp_min(1e-6)).clamp_min(0)
    kept = 1 / (1 + filled.amax(1, keepdim=True).square().square()).sqrt().sqrt()
    return change - flattening * (1 - kept)


def _heights(points: Tensor) -> Tensor:
    """Return the heights (..., 2) of the upper and the lower lip of points (..., 478, 3), or their changes."""
    below, above = (points[..., edges, 1].mean(-1) for edges in (LOWER_EDGES, UPPER_EDGES))
    return below - above
