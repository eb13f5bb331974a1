"""The skin around moving brows.

The expression basis is fitted to landmarks of filmed faces. Around the brows these do not stay on the skin: those of
the forehead slide down when it rises, and corners of the eyes move with it. A warp that meets them folds the forehead
and draws out the lower edge of the brows. So only the brows themselves are taken from the basis, smoothed along each
brow. The skin below follows them down to the crease of the lid, which unfolds, the forehead up to the hairline, and
eyes and nose stay where they are. Brows that lie close above the eyes rise less far, because there is less skin below
them to unfold.
"""

from functools import lru_cache

import torch
from torch import Tensor

from ..face import topology as mesh
from ..models.face_basis import FaceBasis

BROW_LANDMARKS = mesh.BROW_RIGHT_UPPER + mesh.BROW_RIGHT_LOWER + mesh.BROW_LEFT_UPPER + mesh.BROW_LEFT_LOWER
# Shares of the motion of the brows that other landmarks follow: just below them, between them, and at the hairline.
FOLLOWING = (
    ((224, 223, 444, 443), 0.55),
    ((222, 442), 0.45),
    ((225, 221, 445, 441), 0.3),
    ((9,), 0.8),
    ((10, 109, 67, 103, 54, 338, 297, 332, 284), 0.2),
)
ALONG = 0.1  # eye distances along a brow over which its motion is smoothed
NEAR = 0.15  # eye distances between landmarks that drag each other
CLOSEST = 0.02  # of them, below which they drag each other no more
# The landmarks of each brow, of its lower edge, and of the middle of the lid below.
SIDES = (
    (mesh.BROW_RIGHT_UPPER + mesh.BROW_RIGHT_LOWER, mesh.BROW_RIGHT_LOWER, (160, 159, 158)),
    (mesh.BROW_LEFT_UPPER + mesh.BROW_LEFT_LOWER, mesh.BROW_LEFT_LOWER, (387, 386, 385)),
)
UNFOLDS = 1.0  # of the distance between lid and brow, which a brow rises at most
FIRMNESS = 4.0  # exponent: how suddenly a brow is held


@lru_cache(maxsize=4)
def skin_followers(basis: FaceBasis) -> Tensor:
    """Return weights (478, B) with which landmarks follow the B landmarks of the brows. basis: its average face."""
    mean = basis.mean.cpu()
    weights = torch.zeros(len(mean), len(BROW_LANDMARKS))
    weights[list(BROW_LANDMARKS)] = _along_brows(mean, BROW_LANDMARKS)
    known = list(BROW_LANDMARKS)
    for points, share in FOLLOWING:
        weights[list(points)] = share * _along_brows(mean, points)
        known += points
    eyes = mesh.EYE_RIGHT + mesh.EYE_LEFT + mesh.IRIS_RIGHT + mesh.IRIS_LEFT
    above = mean[:, 1] < 0
    above[[*known, *eyes]] = False
    free, fixed = above.nonzero()[:, 0], ((mean[:, 1] < 2 * NEAR) & ~above).nonzero()[:, 0]
    # The other landmarks are dragged by their neighbours: the solution of Laplace's equation on a graph.
    to_free, to_fixed = (_drag(mean[free, :2], mean[others, :2]) for others in (free, fixed))
    laplacian = (to_free.sum(1) + to_fixed.sum(1)).diag() - to_free
    weights[free] = torch.linalg.solve(laplacian, to_fixed @ weights[fixed])
    return weights


def held_brows(displacements: Tensor, face: Tensor) -> Tensor:
    """Return displacements (F, B, 3) of the brows' landmarks of which none rises far beyond what its lid can unfold.

    Small ones hardly change. face: (478, 3), frontal and in eye distances, as the displacements are.
    """
    held = displacements.clone()
    for brow, edge, lid in SIDES:
        low = [BROW_LANDMARKS.index(point) for point in edge]
        rise = -displacements[:, low, 1].mean(1).clamp_max(0)
        most = UNFOLDS * (face[list(lid), 1].mean() - face[list(edge), 1].mean()).clamp_min(CLOSEST)
        share = (1 + (rise / most) ** FIRMNESS) ** (-1 / FIRMNESS)
        held[:, [BROW_LANDMARKS.index(point) for point in brow]] *= share[:, None, None]
    return held


def _along_brows(mean: Tensor, points: tuple[int, ...]) -> Tensor:
    """Return weights (P, B) of the brows' landmarks on others; those of a side follow the brow of that side."""
    at, brows = mean[list(points), 0], mean[list(BROW_LANDMARKS), 0]
    weights = torch.exp(-0.5 * ((at[:, None] - brows) / ALONG) ** 2)
    weights = weights * ((at[:, None] * brows > 0) | (at[:, None].abs() < ALONG / 2)) + 1e-9
    return weights / weights.sum(1, keepdim=True)


def _drag(points: Tensor, others: Tensor) -> Tensor:
    """Return how strongly others (K, 2) drag points (P, 2): (P, K)."""
    apart = torch.cdist(points, others).square()
    return torch.exp(-0.5 * apart / NEAR**2) / (apart + CLOSEST**2) * (apart > 0)
