"""The light that closed lips take from each other, given back as they part.

The line between closed lips is dark, and so is the edge of each lip beside it. Carried along as the lips part, it would
outline the mouth in black. So what the line takes from each lip, compared with that lip further away from it, is
measured once in the portrait. A strip of teeth that shows between lips which are seen shut would go with the upper lip
in the same way, as a ragged rim: lip is put in its place.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, max_pool2d

from ..face.align import eye_distance
from ..smooth import smoothstep
from ..types import CloseUp, MouthWindow
from .draw import touched
from .lip_edges import strip_of_teeth
from .lip_lines import UPPER, along_edge, lowered, sampled
from .mouth_window import view_of, warp_window
from .openings import MOUTH, PARTED, height_over

REACH = 0.05  # eye distances on each side of the line that are looked at
STRETCHED = 2.0  # times that reach which is looked at in frames, where lips are stretched
DARKENED = 0.02  # eye distances from the line up to which a lip can be darkened by it
ALONG = 0.02  # eye distances along the line over which it is averaged
GIVEN = (0.6, 0.9)  # share that the upper and the lower lip get back
LIT = 0.04  # eye distances by which lips part until they get all of it
STRIP_EDGE = 0.006  # eye distances over which lip takes the place of a strip of teeth
CORNERS = 0.15  # share of the mouth's width at its corners over which they get less


class SeamLight:
    """The light that a portrait's lips get back; what does not depend on the frame is computed once.

    portrait: close-up of the mouth in a crop of ``crop_size`` pixels.
    """

    def __init__(self, portrait: CloseUp, crop_size: float) -> None:
        self._covers = portrait.covers
        view = view_of(portrait, crop_size)
        self._light = light_beside_seam(view.picture, view.landmarks)
        self._gap = _gap(view.landmarks[None])
        self.shows = bool(self._light.any())

    def __call__(self, landmarks: Tensor, flow: Tensor, window: MouthWindow, size: int) -> Tensor:
        """Return the light (F, 3, size, size) that is added in a window.

        landmarks: (F, 478, 3) of the frames, in its pixels. flow: (F, 8, g, g) of the portrait.
        """
        reach = STRETCHED * REACH * eye_distance(landmarks)[:, None]
        upper, lower = (landmarks[:, edge, :2] for edge in (MOUTH.upper, MOUTH.lower))
        upper[..., 1] -= reach
        lower[..., 1] += reach
        rows, columns = touched(torch.cat((upper, lower), 1), size)
        centres = torch.arange(size, device=landmarks.device) + 0.5
        at, down = centres[columns].expand(len(landmarks), -1), centres[rows, None]
        ends = (height_over(edge, at)[:, None] for edge in (upper, lower))  # of what is looked at
        inside = torch.minimum(*(side * (down - end) for side, end in zip((1, -1), ends, strict=True)))
        middle = (upper + lower)[..., 0] / 2
        parted = smoothstep((_gap(landmarks) - self._gap) / LIT)
        share = height_over(torch.stack((middle, parted), -1), at)[:, None]
        share = share * (2 * inside / reach[..., None]).clamp(0, 1)  # (F, rows, columns)
        light = landmarks.new_zeros(len(landmarks), 3, size, size)
        warped = warp_window(self._light, self._covers, flow, window, size, rows, columns)
        light[..., rows, columns] = warped * share[:, None]
        return light


def light_beside_seam(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return what the dark line between closed lips takes from them, (3, S, S); 0 where lips are parted.

    picture: (3, S, S) in 0..1, with an upright face. landmarks: (478, 3) in its pixels.
    """
    size, unit = picture.shape[-1], eye_distance(landmarks)
    centres = torch.arange(size, device=picture.device) + 0.5
    upper, lower = (height_over(landmarks[None, edge, :2], centres[None])[0] for edge in (MOUTH.upper, MOUTH.lower))
    left, right = (landmarks[MOUTH.upper[end], 0] for end in (0, -1))
    inside = torch.minimum(centres - left, right - centres) / (right - left).clamp_min(1)
    closed = 1 - smoothstep(((lower - upper) / unit - PARTED[0]) / (PARTED[1] - PARTED[0]))
    share = closed * smoothstep(inside / CORNERS)  # (S,)
    light = torch.zeros_like(picture)
    if not share.any():
        return light
    rows = max(round(float(REACH * unit)), 4)
    away = torch.arange(rows, device=picture.device)
    seam = (upper + lower) / 2
    for down, given in zip((-1, 1), GIVEN, strict=True):
        places = torch.stack((centres.expand(rows, -1), seam + down * (away[:, None] + 0.5)), -1)
        taken = _taken(sampled(picture, places)[None], unit) * share * given
        below = (centres[:, None] - seam) * down  # (S, S), from the line into the lip
        at = torch.stack((centres.expand(size, -1) * (2 / size) - 1, below * (2 / rows) - 1), -1)
        light += grid_sample(taken, at[None], padding_mode="zeros", align_corners=False)[0] * (below > 0)
    strip = strip_of_teeth(picture, landmarks)
    if strip is not None:
        lip, weight = _lip_for_strip(picture, landmarks, strip)
        light = light.lerp(lip - picture, weight * closed * (centres[:, None] < seam))
    return light


def _lip_for_strip(picture: Tensor, landmarks: Tensor, heights: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the upper lip would show instead of a strip of teeth, (3, S, S), and where, (S, S) in 0..1.

    It is the lip above the strip, mirrored. heights: (C,) of the strip along the upper lip, in pixels.
    """
    size, soft = picture.shape[-1], float(STRIP_EDGE * eye_distance(landmarks))
    centres = torch.arange(size, device=picture.device) + 0.5
    edge = along_edge(landmarks, UPPER.inner)
    heights = heights + 2 * soft * (heights > 0)  # so that nothing of the strip's blurred edge stays
    bottom, above = (height_over(line[None], centres[None])[0] for line in (edge, lowered(edge, -heights)))
    down = centres[:, None] - above  # (S, S), from the strip's upper edge
    mirrored = torch.stack((centres.expand(size, -1), above - down.clamp_min(0)), -1)
    weight = smoothstep(down / soft) * smoothstep((bottom - above) / soft)
    return sampled(picture, mirrored), weight


def _gap(landmarks: Tensor) -> Tensor:
    """Return the gap (F, K) between the lips of landmarks (F, 478, 3) along them, in eye distances."""
    upper, lower = landmarks[:, [MOUTH.upper, MOUTH.lower], 1].unbind(1)
    return (lower - upper) / eye_distance(landmarks)[:, None]


def _taken(lip: Tensor, unit: Tensor) -> Tensor:
    """Return by how much a lip (1, 3, R, S) is darker near its first row than a little further away."""
    reach, along = round(float(DARKENED * unit)), round(float(ALONG * unit) / 2)
    smooth = avg_pool2d(lip, (1, 2 * along + 1), 1, (0, along), count_include_pad=False)
    mirrored = torch.cat((smooth[:, :, 1 : reach + 1].flip(2), smooth), 2)
    kernel, padding = (2 * reach + 1, 1), (reach, 0)
    closed = -max_pool2d(-max_pool2d(mirrored, kernel, 1, padding), kernel, 1, padding)
    fade = smoothstep((lip.shape[2] - torch.arange(lip.shape[2], device=lip.device)) / (lip.shape[2] / 2))
    return (closed[:, :, reach:] - smooth).clamp_min(0) * fade[:, None]
