"""The mouth window: a small square of the aligned crop about the lips, at a higher pixel density than the crop.

A network that draws only this square can afford the detail of teeth. The window is placed by the portrait's landmarks
and stays where it is in the crop, because the expression moves in the portrait's own pose and the head is turned later.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..face.align import extract_crop, eye_distance, scale_of
from ..face.topology import LIPS_INNER
from ..motion.geometry import lip_aperture
from ..types import CloseUp, Crop, FaceLight, MouthWindow, Tongue, View
from .draw import blurred, enlarged, fill, mouth_opening
from .lent_mouth import lent_interior, lent_mouth
from .light import light_on, skin_colour
from .mouth import borrowed_share, shows_mouth, shows_teeth, stretched_mouth, unstretched_mouth
from .teeth import load_dentition, mouth_interior
from .warp import flow_between, show_sheets

SIDE = 0.3  # of the crop's side: 0.75 eye distances, so that all but the widest smiles fit in
CORNERS = (61, 291)  # of the mouth
BELOW_CORNERS = 0.105  # eye distances from the corners of the mouth down to the middle of the window: jaws drop
AROUND = 2  # sides of the window that close-ups of references show, so that a warp finds what it needs
SHARPER = (1.0, 1.5, 2.0)  # sides of the pictures of a window, relative to the network's
SLACK = 1.2  # how much denser than a window's pictures a photograph may be
PIXEL_BLUR = 0.5  # standard deviation of the blur of a camera, in its pixels
FEATHER = 0.06  # of the window's side, over which what is drawn fades out at its border
ABOUT_LIPS = 1.25  # enlargement of the opening of the mouth to the region that may be drawn
ABOUT_LIPS_BLUR = 0.02  # standard deviation of its edge, of the window's side


def mouth_window(landmarks: Tensor, crop_size: float) -> MouthWindow:
    """Return the window about the mouth of a portrait. landmarks: (478, 3) in crop pixels."""
    unit = eye_distance(landmarks)
    middle = landmarks[list(CORNERS), :2].mean(0)
    middle = middle + unit * middle.new_tensor((0.0, BELOW_CORNERS))
    return MouthWindow((middle / crop_size - SIDE / 2).clamp(0, 1 - SIDE), SIDE)


def shown_size(crop: Crop, size: int) -> int:
    """Return the side in pixels at which the windows of a photograph are shown, at least the network's ``size``.

    A face may be larger in a photograph than the network draws it. What geometry makes of the window keeps such detail,
    up to twice the density. crop: the photograph's aligned crop.
    """
    dense = SIDE * crop.size / (scale_of(crop) * size * SLACK)
    return round(size * next((factor for factor in SHARPER if factor >= dense), SHARPER[-1]))


def shown_pixels(shown: CloseUp) -> int:
    """Return the side in pixels of a window at a close-up's density."""
    return shown.picture.shape[-1] // AROUND


def close_up(image: Tensor, crop: Crop, landmarks: Tensor, size: int, light: FaceLight | None = None) -> CloseUp:
    """Return the mouth of a picture (3, H, W), twice as far as the window of ``size`` pixels reaches, at its density.

    crop: the picture's aligned crop. landmarks: (478, 3) in its pixels. light: see ``close_up_of``.
    """
    window, side = mouth_window(landmarks, crop.size), AROUND * SIDE
    covers = MouthWindow((window.corner + (SIDE - side) / 2).clamp(0, 1 - side), side)
    pixels = AROUND * size
    matrix = crop.matrix * (pixels / (side * crop.size))
    matrix[:, 2] -= covers.corner.to(matrix) * (pixels / side)
    part = Crop(matrix, pixels, crop.image_size)
    density = min(1 / scale_of(part), 1.0)
    return close_up_of(extract_crop(image, part), landmarks, covers, crop.size, density, light)


def close_up_of(
    picture: Tensor,
    landmarks: Tensor,
    covers: MouthWindow,
    crop_size: float,
    density: float = 1.0,
    light: FaceLight | None = None,
) -> CloseUp:
    """Return the close-up of a picture (3, P, P) that shows a part of a crop of ``crop_size`` pixels.

    light: on the face; by default it is taken for white light on the skin that is seen.
    """
    if light is None:
        points = covers.to_pixels(landmarks, crop_size, picture.shape[-1])
        light = light_on(skin_colour(picture[None], points[None])[0])
    return CloseUp(picture, landmarks, covers, light, density)


def cut_window(image: Tensor, window: MouthWindow, size: int) -> Tensor:
    """Sample a window of ``size`` pixels a side from aligned crops (F, 3, S, S): (F, 3, size, size)."""
    grid = (window.grid(size) * 2 - 1).expand(len(image), -1, -1, -1)
    return grid_sample(image, grid, "bicubic", "border", align_corners=False).clamp(0, 1)


def warp_window(
    image: Tensor,
    covers: MouthWindow,
    flow: Tensor,
    window: MouthWindow,
    size: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Tensor:
    """Return the window of the reference warped by a flow, without warping the rest of the crop: (F, 3, size, size).

    image: (3, n, n), the part of the reference's crop that ``covers`` describes, at any density. flow: (F, 8, g, g)
    from ``compositing.warp.flow_between``. rows, columns: of the window that are wanted.
    """
    at_rest = window.grid(size)[rows, columns]
    fields = grid_sample(flow, (at_rest * 2 - 1).expand(len(flow), -1, -1, -1), "bilinear", "border", False)
    shown = show_sheets(fields, size / window.side)

    def sampled(positions: Tensor) -> Tensor:
        inside = (positions - covers.corner) / covers.side
        images = image.expand(len(positions), -1, -1, -1)
        return grid_sample(images, inside * 2 - 1, "bilinear", "border", align_corners=False)

    warped = sampled(at_rest + shown.offsets.permute(0, 2, 3, 1))
    _, down, across = shown.edges
    shown.mix_edges(warped, sampled((at_rest[down, across, None] + shown.edge_offsets)[None])[0])
    return warped


def view_of(shown: CloseUp, crop_size: float) -> View:
    """Return a close-up of a part of a crop of ``crop_size`` pixels with its landmarks in its own pixels."""
    points = shown.covers.to_pixels(shown.landmarks, crop_size, shown.picture.shape[-1])
    return View(shown.picture, points, shown.inside)


def blur_of(shown: CloseUp) -> float:
    """Return the standard deviation in pixels of the blur that makes a sharp window no sharper than the photograph."""
    return PIXEL_BLUR * math.sqrt(max(shown.density**-2 - 1, 0.0))


def window_of(shown: CloseUp, window: MouthWindow, size: int) -> Tensor:
    """Sample a window of ``size`` pixels a side from a close-up: (3, size, size)."""
    return cut_window(shown.picture[None], window.within(shown.covers), size)[0]


def moving_mouth(
    close_ups: tuple[CloseUp, ...],
    landmarks: Tensor,
    flow: Tensor | None,
    window: MouthWindow,
    size: int,
    crop_size: float,
    cells: int,
    basis_mean: Tensor,
    tongue: Tongue | None = None,
) -> tuple[Tensor, Tensor]:
    """Return windows (F, 3, size, size) of a moving mouth as geometry shows it, and a weight (F, 1, size, size).

    The portrait is warped to landmarks (F, 478, 3) in crop pixels. Lips that open further than in the portrait show a
    painted mouth, and over it, where another reference or the portrait's own teeth show it, the real one. The
    weight, in 0..1, is that of these fillings.

    close_ups: the portrait's and, if its mouth is to be borrowed, another reference's. flow: (F, 8, g, g) of the
    portrait with ``cells`` a side, if it is known. basis_mean, tongue: see ``mouth_interior``.
    """
    portrait, known = close_ups[0], close_ups[-1]

    def warped(shown: CloseUp, flow: Tensor | None = None) -> Tensor:
        if flow is None:
            flow = flow_between(shown.landmarks, landmarks, crop_size, cells)
        return warp_window(shown.picture, shown.covers, flow, window, size)

    own, aperture = lip_aperture(portrait.landmarks), lip_aperture(landmarks)
    plain, moved = warped(portrait, flow), window.to_pixels(landmarks, crop_size, size)
    opening = mouth_opening(moved, size)
    # Pixels that lips share with the portrait's own teeth are covered, or these would shine through beside the lips.
    opening = (opening * (1 + shows_mouth(own))).clamp_max(1)
    view = view_of(known, crop_size)
    share = borrowed_share(aperture, own, known is not portrait)
    if known is portrait:
        shown, unknown = unstretched_mouth(plain, moved, view, opening, own, aperture)
        weight = torch.maximum(unknown, opening * share[:, None, None, None])
    else:
        shown, unknown = plain, stretched_mouth(opening, moved, own)
        weight = unknown
    rest = window.to_pixels(portrait.landmarks, crop_size, size)
    lent = None
    if known is not portrait and share.any():
        lent = known.lent or lent_mouth(view, rest, basis_mean)
    if unknown.any():
        dentition = load_dentition(device=plain.device)
        teeth = None if known.inside is None else known.inside.teeth
        upper, lower = _painted_rows(view) if known is portrait else (1.0, 1.0)
        painted = mouth_interior(
            dentition,
            rest,
            moved,
            portrait.light,
            size,
            basis_mean,
            teeth=teeth,
            tongue=tongue,
            upper_share=upper,
            lower_share=lower,
            lent=lent,
        )
        blur = blur_of(portrait)
        if blur > 0:  # not sharper than the photograph around it
            painted = blurred(painted, blur)
        shown = shown.lerp(painted, unknown)
    if lent is not None:
        inside, seen = lent_interior(lent, rest, moved, size, basis_mean)
        borrowed = opening * share[:, None, None, None] * seen
        shown = shown.lerp(inside, borrowed)
        weight = torch.maximum(weight, borrowed)
    return shown, weight


def _painted_rows(portrait: View) -> tuple[float | Tensor, float | Tensor]:
    """Return how far the upper and the lower teeth are painted, in 0..1: not beside those that the portrait shows."""
    inside = portrait.inside
    if inside is None:
        return 1.0, 1.0
    unseen = 1 - shows_teeth(portrait, lip_aperture(portrait.landmarks))
    return unseen if inside.exact else 1.0, unseen if inside.stands else 1.0


def drawn_region(landmarks: Tensor, size: int, cells: int = 64) -> Tensor:
    """Return the mask (F, 1, size, size) in 0..1 of what is drawn: the lips and what they uncover.

    It fades out at the window's border. landmarks: (F, 478, 3) in pixels of the window.
    """
    lips = enlarged(landmarks[:, LIPS_INNER, :2] * (cells / size), ABOUT_LIPS)
    soft = blurred(fill(lips, cells)[:, None], ABOUT_LIPS_BLUR * cells)
    steps = (torch.arange(cells, device=soft.device, dtype=soft.dtype) + 0.5) / cells
    fade = (torch.minimum(steps, 1 - steps) / FEATHER).clamp(0, 1)
    return interpolate(soft * fade[:, None] * fade, (size, size), mode="bilinear", align_corners=False)
