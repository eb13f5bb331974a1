"""Filling the side of a face that is turned away in the portrait.

When a head turns back from the side, the warped portrait has only a narrow, stretched strip of the far cheek. A further
reference turned the other way shows all of it. It is warped into the frames like the portrait and blended in where it
has more pixels, matched to the portrait's lighting (our own reading of the paper's several references).
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..face import topology as mesh
from ..smooth import smoothstep
from ..types import View
from .draw import blurred, enlarged, fill
from .warp import flow_between, warp

TURNED = 0.14  # yaw difference in radians from which another view is used
STRETCHED = (0.8, 0.55)  # portrait pixels per frame pixel at which blending of other views begins, and is complete
MORE = (1.1, 1.4)  # pixels of a view relative to the portrait's at which its blending begins, and is complete
LIPS = 1.3  # enlargement of the lip outline that is excluded, because the mouth has its own references
LIGHT = 0.1  # blur of the lighting difference, as a fraction of the crop's side
EDGE = 0.024  # blur of the blend mask, as a fraction of the crop's side


def head_yaw(landmarks: Tensor) -> Tensor:
    """Return the yaw (...) in radians, positive to the picture's right, from the eye corners of (..., 478, 3)."""
    across = landmarks[..., 263, :] - landmarks[..., 33, :]
    return torch.atan2(across[..., 2], across[..., 0])


def other_sides(references: Tensor, landmarks: Tensor) -> tuple[View, ...]:
    """Return the references turned furthest to the left and to the right of the portrait, if by over ``TURNED``.

    references: (N, 3, S, S) in 0..1, the portrait first; landmarks: (N, 478, 3) in their pixels.
    """
    yaw = head_yaw(landmarks)
    apart = yaw - yaw[0]
    furthest = {int(apart.argmin()), int(apart.argmax())}
    return tuple(View(references[k], landmarks[k]) for k in sorted(furthest) if apart[k].abs() > TURNED)


def show_sides(
    warped: Tensor, flow: Tensor, landmarks: Tensor, sides: tuple[View, ...], flow_size: int
) -> tuple[Tensor, Tensor]:
    """Fill stretched skin of the warped portrait (F, 3, S, S) from other views.

    flow: (F, 8, g, g), by which the portrait was warped. landmarks: (F, 478, 3) of the frames, in crop pixels. Returns
    the frames, and the blend mask (F, 1, S, S) in 0..1 of the other views.
    """
    size, borrowed = warped.shape[-1], torch.zeros_like(warped[:, :1])
    if not sides:
        return warped, borrowed
    skin, portrait_density = _skin(landmarks * (flow_size / size), flow_size), _density(flow)
    stretched = smoothstep((STRETCHED[0] - portrait_density) / (STRETCHED[0] - STRETCHED[1]))
    for view in sides:
        other_flow = flow_between(view.landmarks, landmarks, size, flow_size)
        density = _density(other_flow)
        share = stretched * smoothstep((density / portrait_density - MORE[0]) / (MORE[1] - MORE[0]))
        share = share * smoothstep(2 * density)
        share = skin * _spread(share, skin, EDGE * flow_size)
        if share.max() < 1e-3:
            continue
        other = warp(view.picture, other_flow)
        difference = interpolate(warped - other, (flow_size, flow_size), mode="bilinear", antialias=True)
        light = _spread(difference, skin * (1 - share), LIGHT * flow_size)  # lighting difference where both are visible
        share, light = (
            interpolate(field, (size, size), mode="bilinear", align_corners=False) for field in (share, light)
        )
        warped = warped.lerp((other + light).clamp(0, 1), share)
        borrowed = torch.maximum(borrowed, share)
    return warped, borrowed


def _density(flow: Tensor) -> Tensor:
    """Return source pixels per target pixel (F, 1, g, g): the Jacobian of a flow (F, 8, g, g), 1 at rest."""
    size = flow.shape[-1]
    offsets = (flow[:, 0:2] + flow[:, 2:4]) / 2 * size
    (dx_dy, dx_dx), (dy_dy, dy_dx) = (torch.gradient(offsets[:, axis], dim=(1, 2)) for axis in (0, 1))
    return ((1 + dx_dx) * (1 + dy_dy) - dx_dy * dy_dx).clamp_min(0.05)[:, None]


def _skin(landmarks: Tensor, size: int) -> Tensor:
    """Return a mask (F, 1, size, size) of the face without the mouth. landmarks: (F, 478, 3) in cells."""
    face = fill(landmarks[:, mesh.FACE_OVAL, :2], size)
    return (face * (1 - fill(enlarged(landmarks[:, mesh.LIPS_OUTER, :2], LIPS), size)))[:, None]


def _spread(field: Tensor, counts: Tensor, sigma: float) -> Tensor:
    """Return Gaussian averages of a field (F, C, g, g), weighted by ``counts`` (F, 1, g, g) in 0..1."""
    return blurred(field * counts, sigma) / blurred(counts, sigma).clamp_min(1e-3)
