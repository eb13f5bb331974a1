"""Filling the mouth between opening lips.

A portrait with closed lips gives only stretched lips there. The mouth of a further reference with open lips is warped
into the frames (our own reading of the paper's several references). Without one, the network draws the mouth, and a
mouth interior is painted over its picture (``teeth``). Where lips open further than in their reference, teeth keep
their height instead of being stretched.
"""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..face.align import eye_distance
from ..face.topology import LIPS_INNER_LOWER, LIPS_INNER_UPPER
from ..motion.geometry import SHOWS_TEETH, lip_aperture
from ..smooth import smoothstep
from ..types import View
from .draw import mouth_opening
from .light import skin_colour
from .mouth_inside import mouth_inside
from .openings import MOUTH, height_over
from .warp import flow_between, warp

PARTED = 0.03  # increase of the lip aperture at which a portrait's stretched lips are fully replaced
MIN_BORROW_APERTURE = 0.08  # smallest lip aperture to borrow from: the teeth of a smile are only a few pixels high
FURTHER = 1.1  # ratio of lip apertures from which a mouth counts as over-stretched
EDGE = 0.04  # fade-out at the ends of known content, in eye distances
EXACT_EDGE = 0.012  # likewise, within the content, where it is known exactly where teeth end
STRIP = (0.031, 0.038)  # height in eye distances of teeth from which they are shown, and fully so
MOST_GROWTH = 1.0  # of teeth below a lip that rises
LEAST = 0.005  # eye distances added to openings before their ratio is taken
LIGHT = (0.5, 2.0)  # range of the gain that matches a reference to the portrait's lighting


def shows_mouth(aperture: Tensor) -> Tensor:
    """Return how far a picture with this lip aperture shows the inside of the mouth, in 0..1."""
    return smoothstep(2 * aperture / SHOWS_TEETH - 1)


def shows_teeth(known: View, aperture: Tensor) -> Tensor:
    """Return how far a picture shows its own teeth between lips of this aperture, in 0..1.

    Where their end is known, their height counts, and narrow strips are shown as well.
    """
    inside = known.inside
    if inside is None or not inside.exact:
        return shows_mouth(aperture)
    upper, lower = (known.landmarks[list(edge), 1] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    height = (inside.ends * (lower - upper))[3:-3].median() / eye_distance(known.landmarks)
    return smoothstep((height - STRIP[0]) / (STRIP[1] - STRIP[0]))


def stretched_mouth(opening: Tensor, landmarks: Tensor, portrait_aperture: Tensor) -> Tensor:
    """Return the soft mask (F, 1, S, S) in 0..1 of pixels between the lips that are over-stretched in the warp.

    For a portrait with closed lips, the mask is full once the aperture has grown by ``PARTED``; for one that shows the
    inside of its mouth, once it has grown by the factor ``FURTHER``. opening: (F, 1, S, S) in 0..1, the
    ``mouth_opening`` of ``landmarks`` (F, 478, 3) in crop pixels. portrait_aperture: () lip aperture of the portrait.
    """
    aperture = lip_aperture(landmarks)
    parted = ((aperture - portrait_aperture) / PARTED).clamp(0, 1)
    share = parted.lerp(_wider(aperture, portrait_aperture), shows_mouth(portrait_aperture))
    return opening * share[:, None, None, None]


def open_mouth(references: Tensor, landmarks: Tensor) -> View | None:
    """Return the reference with the widest open lips, matched to the portrait's skin colour.

    references: (N, 3, S, S) in 0..1, the portrait first; landmarks: (N, 478, 3) in their pixels. None if that is the
    portrait, or if the lips are open less than ``PARTED`` further than the portrait's or ``MIN_BORROW_APERTURE``.
    """
    widest = widest_mouth(landmarks)
    if widest is None:
        return None
    gain = light_gain(references, landmarks, widest)
    return View((references[widest] * gain).clamp(0, 1), landmarks[widest])


def widest_mouth(landmarks: Tensor) -> int | None:
    """Return the number of the reference that ``open_mouth`` takes. landmarks: (N, 478, 3), the portrait's first."""
    apertures = lip_aperture(landmarks)
    widest = int(apertures.argmax())
    return None if apertures[widest] < torch.clamp_min(apertures[0] + PARTED, MIN_BORROW_APERTURE) else widest


def light_gain(references: Tensor, landmarks: Tensor, number: int) -> Tensor:
    """Return the gain (3, 1, 1) that brings a reference of (N, 3, S, S) to the light of the first, by their skin."""
    own, other = skin_colour(references[[0, number]], landmarks[[0, number]]).clamp_min(0.02)
    return (own / other).clamp(*LIGHT)


def borrow_mouth(
    warped: Tensor, landmarks: Tensor, portrait: View, mouth: View | None, flow_size: int
) -> tuple[Tensor, Tensor]:
    """Fill over-stretched mouth pixels of the warped portrait (F, 3, S, S) from a reference.

    landmarks: (F, 478, 3) of the frames. portrait: the portrait and its landmarks. mouth: a reference with open lips,
    fully used where the aperture exceeds the portrait's by ``PARTED``. Without it, the portrait's own mouth, if it
    shows any, is used at its own height where the aperture exceeds it by the factor ``FURTHER``. Returns the frames,
    and the blend mask (F, 1, S, S) in 0..1.
    """
    size, aperture, portrait_aperture = warped.shape[-1], lip_aperture(landmarks), lip_aperture(portrait.landmarks)
    share = borrowed_share(aperture, portrait_aperture, mouth is not None)
    if not share.any():
        return warped, torch.zeros_like(warped[:, :1])
    if mouth is None:
        return fill_mouth(warped, warped, landmarks, portrait, share)
    source = warp(mouth.picture, flow_between(mouth.landmarks, landmarks, size, flow_size))
    return fill_mouth(warped, source, landmarks, mouth, share)


def borrowed_share(aperture: Tensor, portrait_aperture: Tensor, other: bool) -> Tensor:
    """Return how much of a mouth is to be filled, (F,) in 0..1, from another reference (``other``) or from itself."""
    if other:
        return ((aperture - portrait_aperture) / PARTED).clamp(0, 1)
    return shows_mouth(portrait_aperture) * _wider(aperture, portrait_aperture)


def fill_mouth(warped: Tensor, source: Tensor, landmarks: Tensor, known: View, share: Tensor) -> tuple[Tensor, Tensor]:
    """Fill mouths from ``source`` (F, 3, S, S), the picture ``known`` warped to the frames, without its stretch.

    share: (F,), see ``borrowed_share``. Returns the frames, and the blend mask (F, 1, S, S) in 0..1.
    """
    source, kept = unstretched(source, landmarks, known)
    borrowed = mouth_opening(landmarks, warped.shape[-1]) * share[:, None, None, None] * kept
    return warped.lerp(source, borrowed), borrowed


def unstretched(pictures: Tensor, landmarks: Tensor, known: View) -> tuple[Tensor, Tensor]:
    """Undo the vertical stretch of mouths that were warped from the picture ``known``.

    The upper teeth keep their height, and the content below the dark cavity keeps its height above the lower lip. A lip
    that slides over teeth hides them: what it leaves of the known content is not drawn out to fill the mouth. A mouth
    that shows no more than in ``known`` is not changed. pictures: (F, 3, S, S). landmarks: (F, 478, 3) in their pixels.
    Returns the pictures, and a mask (F, 1, S, S) in 0..1 of the known content.
    """
    size = pictures.shape[-1]
    centres = torch.arange(size, device=pictures.device) + 0.5
    at = centres.expand(len(pictures), -1)
    upper, lower = (landmarks[:, edge, :2] for edge in (LIPS_INNER_UPPER, LIPS_INNER_LOWER))
    top, bottom = (height_over(edge, at)[:, None] for edge in (upper, lower))  # (F, 1, S)
    gap = (bottom - top).clamp_min(1e-3)
    first, last, ratio, rise = (
        height_over(torch.stack((upper[..., 0], values), -1), at)[:, None]
        for values in _visible(landmarks, known.landmarks)
    )
    by = (ratio / (last - first).clamp_min(LEAST)).clamp_min(1)  # how far what is visible is stretched
    down = (centres[:, None] - top) / gap  # (F, S, S), 0 at the upper lip, 1 at the lower one
    inside = known.inside or mouth_inside(known)
    middle = height_over(torch.stack((upper[..., 0], inside.ends.expand(len(at), -1)), -1), at)[:, None]
    # Ends of the known content from above and below.
    hanging, standing = (middle - first) / ratio, 1 - (last - middle) / ratio
    # Below a lip that rises, teeth keep their lower end, and grow.
    growth = 1 + inside.exact * (rise / (middle - first).clamp_min(LEAST)).clamp_max(MOST_GROWTH)
    hanging = hanging * growth
    further = ((by - 1) / (FURTHER - 1)).clamp(0, 1)
    if not inside.stands:  # what is below the dark row is left out, but only of a mouth that opens further
        hanging = (1 / by).lerp(hanging, further)
    is_upper = (down < (hanging + standing) / 2) | (not inside.stands)
    source = torch.where(is_upper, (down * by / growth).clamp_max(1), (1 - (1 - down) * by).clamp_min(0))
    beyond = torch.where(is_upper, down - hanging, standing - down) * gap
    between = (down > 0) & (down < 1)
    y = torch.where(between, top + source * gap, centres[:, None].expand_as(down))
    grid = torch.stack((centres.expand_as(y), y), -1) * (2 / size) - 1
    beyond = beyond / eye_distance(landmarks)[:, None, None]
    kept = 1 - smoothstep(further + beyond / EXACT_EDGE if inside.exact else beyond / EDGE)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False), kept[:, None]


def unstretched_mouth(
    warped: Tensor, landmarks: Tensor, known: View, opening: Tensor, own: Tensor, aperture: Tensor
) -> tuple[Tensor, Tensor]:
    """Undo the stretch of the portrait's own mouth, as far as it shows one; there is nothing to undo at its own height.

    warped: (F, 3, S, S), from the portrait ``known`` with lip aperture ``own``, (). opening: (F, 1, S, S) in 0..1, the
    ``mouth_opening`` of landmarks (F, 478, 3), whose apertures are (F,). Returns the pictures, and a mask (F, 1, S, S)
    in 0..1 of what the portrait does not show: what is beyond its teeth, or everything between lips that were closed.
    """
    parted = ((aperture - own) / PARTED).clamp(0, 1)[:, None, None, None]
    shows = shows_teeth(known, own)
    if shows == 0:
        return warped, opening * parted
    source, kept = unstretched(warped, landmarks, known)
    return warped.lerp(source, opening * shows), opening * parted.lerp(1 - kept, shows)


def _visible(landmarks: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what can be seen of the mouth of ``known`` (478, 3), at the K points of an edge, (F, K) each.

    The upper and the lower end of what lips (F, 478, 3) leave of it, as fractions of its height from its upper lip, and
    the ratio of the openings. Teeth stand still under the nose. The corners take the values of their neighbours.
    """

    def edges(points: Tensor) -> list[Tensor]:
        nose = points[..., MOUTH.carrier, 1].mean(-1, keepdim=True)
        return [(points[..., edge, 1] - nose) / eye_distance(points)[..., None] for edge in (MOUTH.upper, MOUTH.lower)]

    (upper, lower), (top, bottom) = edges(landmarks), edges(known)
    height = (bottom - top).clamp_min(0) + LEAST
    first, last = (((edge - top) / height).clamp(0, 1) for edge in (upper, lower + LEAST))
    ratio, rise = ((lower - upper).clamp_min(0) + LEAST) / height, ((top - upper) / height).clamp_min(0)
    return tuple(torch.cat((v[:, 1:2], v[:, 1:-1], v[:, -2:-1]), 1) for v in (first, last, ratio, rise))  # type: ignore[return-value]  # four


def _wider(aperture: Tensor, reference: Tensor) -> Tensor:
    """Return how far ``aperture`` exceeds ``reference``: 0 at the same aperture, 1 at ``FURTHER`` times it."""
    return ((aperture / reference.clamp_min(1e-6) - 1) / (FURTHER - 1)).clamp(0, 1)
