"""The side of a face that the portrait turns away.

Where a head turns back from the side, the warp has little but a narrow, stretched strip of the far cheek. A further
reference that is turned the other way has all of it: it is warped into the frames as the portrait is, and shown where
it has more pixels to give, in the portrait's own light (our own reading of the paper's several references).
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..face import topology as mesh
from ..smooth import smoothstep
from ..types import View
from .draw import blurred, enlarged, fill
from .warp import flow_between, warp

TURNED = 0.14  # radians between two views from which one has something of its own to show
STRETCHED = (0.8, 0.55)  # pixels of the portrait per pixel of a frame below which others may be shown, and fully
MORE = (1.1, 1.4)  # times the portrait's pixels from which a view is shown, and at which nothing else is
LIPS = 1.3  # how far around them the mouth, which has references of its own, is left as it is
LIGHT = 0.1  # of the crop's side, over which the light of the two is compared
EDGE = 0.024  # of the crop's side, over which one fades into the other


def head_yaw(landmarks: Tensor) -> Tensor:
    """Radians by which a head is turned to the picture's right, by the corners of its eyes: (..., 478, 3) -> (...)."""
    across = landmarks[..., 263, :] - landmarks[..., 33, :]
    return torch.atan2(across[..., 2], across[..., 0])


def other_sides(references: Tensor, landmarks: Tensor) -> tuple[View, ...]:
    """Of the further references the one that is turned furthest to the left and the one furthest to the right of the
    portrait, if by ``TURNED``.

    references: (N, 3, S, S) in 0..1, the portrait first; landmarks: (N, 478, 3) in their pixels.
    """
    yaw = head_yaw(landmarks)
    apart = yaw - yaw[0]
    furthest = {int(apart.argmin()), int(apart.argmax())}
    return tuple(View(references[k], landmarks[k]) for k in sorted(furthest) if apart[k].abs() > TURNED)


def show_sides(
    warped: Tensor, flow: Tensor, landmarks: Tensor, sides: tuple[View, ...], flow_size: int
) -> tuple[Tensor, Tensor]:
    """The warped portrait (F, 3, S, S) with what other views of the person show better of its skin, and how far each
    pixel is of those, (F, 1, S, S) in 0..1.

    flow: (F, 8, g, g), by which the portrait was warped. landmarks: (F, 478, 3) of the frames, in crop pixels.
    """
    size, borrowed = warped.shape[-1], torch.zeros_like(warped[:, :1])
    if not sides:
        return warped, borrowed
    skin, own = _skin(landmarks * (flow_size / size), flow_size), _pixels(flow)
    stretched = smoothstep((STRETCHED[0] - own) / (STRETCHED[0] - STRETCHED[1]))
    for view in sides:
        other_flow = flow_between(view.landmarks, landmarks, size, flow_size)
        seen = _pixels(other_flow)
        share = stretched * smoothstep((seen / own - MORE[0]) / (MORE[1] - MORE[0])) * smoothstep(2 * seen)
        share = skin * _spread(share, skin, EDGE * flow_size)
        if share.max() < 1e-3:
            continue
        other = warp(view.picture, other_flow)
        apart = interpolate(warped - other, (flow_size, flow_size), mode="bilinear", antialias=True)
        light = _spread(apart, skin * (1 - share), LIGHT * flow_size)  # as it differs where both are to be seen
        share, light = (
            interpolate(field, (size, size), mode="bilinear", align_corners=False) for field in (share, light)
        )
        warped = warped.lerp((other + light).clamp(0, 1), share)
        borrowed = torch.maximum(borrowed, share)
    return warped, borrowed


def _pixels(flow: Tensor) -> Tensor:
    """How many of the picture's pixels each cell of a flow (F, 8, g, g) shows, where nothing moves 1: (F, 1, g, g)."""
    size = flow.shape[-1]
    offsets = (flow[:, 0:2] + flow[:, 2:4]) / 2 * size
    (dx_dy, dx_dx), (dy_dy, dy_dx) = (torch.gradient(offsets[:, axis], dim=(1, 2)) for axis in (0, 1))
    return ((1 + dx_dx) * (1 + dy_dy) - dx_dy * dy_dx).clamp_min(0.05)[:, None]


def _skin(landmarks: Tensor, size: int) -> Tensor:
    """The face without the mouth, landmarks (F, 478, 3) in cells -> (F, 1, size, size)."""
    face = fill(landmarks[:, mesh.FACE_OVAL, :2], size)
    return (face * (1 - fill(enlarged(landmarks[:, mesh.LIPS_OUTER, :2], LIPS), size)))[:, None]


def _spread(field: Tensor, counts: Tensor, sigma: float) -> Tensor:
    """Averages of a field (F, C, g, g) around each cell, of the cells that count: (F, 1, g, g) in 0..1."""
    return blurred(field * counts, sigma) / blurred(counts, sigma).clamp_min(1e-3)
