"""Blinks: what comes down is skin with a thin line of lashes on its edge, and what is behind it is covered by rows."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.draw import fill
from portraittalk.compositing.lids import EYES, close_lids, lids_of, opened_eyes
from portraittalk.compositing.structure import build_structure
from portraittalk.config import SMALL
from portraittalk.face import topology as mesh
from portraittalk.face.align import extract_crop, eye_distance
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.types import View

SIZE = 512
GREEN = torch.tensor([0.0, 1.0, 0.0])
SHUT = torch.ones(1, 2)


@pytest.fixture(scope="module")
def eyes(identity) -> View:
    """The demo's face at twice the size."""
    picture = extract_crop(identity.portrait, identity.crop, SIZE)
    return View(picture, identity.landmarks * (SIZE / identity.crop.size))


def at_rest() -> Tensor:
    centres = (torch.arange(SIZE) + 0.5) / SIZE
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"))[None]


def shown(view: View, closure: Tensor) -> Tensor:
    return lids_of(view.picture, view.landmarks).close(view.picture[None].clone(), at_rest(), closure)[0]


def between(view: View, top: float, bottom: float, *, closed: bool = False) -> Tensor:
    """Pixels from ``top`` eye distances above the upper edges to ``bottom`` below them, or below the lower ones."""
    down = eye_distance(view.landmarks) * torch.tensor([0.0, 1.0])
    region = torch.zeros(SIZE, SIZE)
    for opening, _ in EYES:
        upper, lower = (view.landmarks[list(edge), :2] for edge in (opening.upper, opening.lower))
        end = lower if closed else upper
        polygon = torch.cat((upper - top * down, (end + bottom * down).flip(0)))
        region = torch.maximum(region, fill(polygon[None], SIZE)[0])
    return region > 0.5


def long_lashes(view: View) -> Tensor:
    """Strokes from the upper edges up, at every fourth pixel."""
    painted = view.picture.clone()
    comb = between(view, 0.07, 0.0) & (torch.arange(SIZE) % 6 < 2)
    painted[:, comb] = 0.05
    return painted


def eyeliner(view: View) -> Tensor:
    painted = view.picture.clone()
    painted[:, between(view, 0.035, 0.0)] = 0.05
    return painted


def wrinkles(view: View) -> Tensor:
    painted = view.picture.clone()
    for height in (0.05, 0.08, 0.11):
        painted[:, between(view, height + 0.006, 0.0) & ~between(view, height, 0.0)] *= 0.5
    return painted


PORTRAITS = {
    "photograph": lambda view: view.picture,
    "long lashes": long_lashes,
    "eyeliner": eyeliner,
    "wrinkles": wrinkles,
    "dark skin": lambda view: view.picture * torch.tensor([0.5, 0.35, 0.3])[:, None, None],
}


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_closed_lid_is_hardly_darker_than_the_lash_line(eyes, name):
    view = View(PORTRAITS[name](eyes), eyes.landmarks)
    light, closed = view.picture.mean(0), shown(view, SHUT).mean(0)
    lashes = between(view, 0.06, 0.01)
    dark = (light[between(view, 0.14, -0.08)].median() + light[lashes].quantile(0.05)) / 2
    assert (closed < dark)[between(view, 0.06, 0.02, closed=True)].sum() < 1.3 * (light < dark)[lashes].sum()


def test_long_lashes_do_not_stand_on_a_closed_lid(eyes):
    """Along a row of the lid, the light of the skin does not jump from stroke to stroke."""
    view = View(long_lashes(eyes), eyes.landmarks)
    lid = between(view, 0.0, -0.02, closed=True) & between(view, 0.0, 0.09)
    steps = [(shown(View(picture, eyes.landmarks), SHUT).mean(0).diff(dim=1).abs() * lid[:, 1:]).sum()
             for picture in (view.picture, eyes.picture)]  # fmt: skip
    assert steps[0] < 2.5 * steps[1]


def test_a_crease_unfolds_and_skin_above_the_lid_stays(eyes):
    """The dark line of a crease, which a closing lid used to draw out to a band across its middle."""
    crease = between(eyes, 0.085, 0.0) & ~between(eyes, 0.065, 0.0)
    creased = View(eyes.picture.where(~crease, 0.4 * eyes.picture), eyes.landmarks)
    lid = between(eyes, 0.05, -0.02, closed=True)
    darker = (shown(eyes, SHUT) - shown(creased, SHUT)).mean(0)
    assert (eyes.picture - creased.picture).mean(0)[crease].mean() > 0.2
    assert darker[lid].mean() < 0.045 and darker[lid].quantile(0.95) < 0.15
    still = between(eyes, 0.3, 0.0) & ~between(eyes, 0.18, 0.0)
    assert torch.equal(shown(creased, SHUT)[:, still], creased.picture[:, still])


def test_a_shadow_that_begins_in_the_lashes_is_unfolded(eyes):
    """Deep-set eyes: as dark as the lashes up to a crease far above them, which was drawn out to a dark band."""
    deep = View(eyes.picture.where(~between(eyes, 0.075, -0.01), 0.35 * eyes.picture), eyes.landmarks)
    lid = between(eyes, 0.05, -0.03, closed=True)
    skin = deep.picture.mean(0)[between(eyes, 0.13, -0.08)].median()
    assert shown(deep, SHUT).mean(0)[lid].quantile(0.2) > 0.8 * skin


def test_closed_lids_have_the_texture_of_skin(eyes):
    """Pores are not stretched with the lid, which would smooth them down the columns."""
    noise = 0.04 * torch.randn(SIZE // 2, SIZE // 2, generator=torch.Generator().manual_seed(0))
    pores = noise.repeat_interleave(2, 0).repeat_interleave(2, 1)
    rough = View((eyes.picture + pores).clamp(0, 1), eyes.landmarks)
    lid = between(eyes, -0.01, -0.04, closed=True) & between(eyes, 0.0, 0.09)
    closed, plain = shown(rough, SHUT).mean(0), shown(eyes, SHUT).mean(0)
    steps = [(picture - plain_picture).diff(dim=0)[lid[1:]].square().mean() for picture, plain_picture in
             ((closed, plain), (rough.picture.mean(0), eyes.picture.mean(0)))]  # fmt: skip
    assert 0.4 < (steps[0] / steps[1]).sqrt() < 1.2


@pytest.mark.parametrize("far", ["left", "right"])
def test_an_eye_seen_from_the_side_closes(eyes, far):
    """Its outer corner is hidden, and its landmarks lie between those of the edges."""
    eye, sign = (EYES[1][0], 1) if far == "right" else (EYES[0][0], -1)
    folded = eyes.landmarks.clone()
    across = sign * folded[:, 0]
    x = across[list(eye.upper + eye.lower)]
    end = x.min() + 0.6 * (x.max() - x.min())
    edges = (eye.upper, eye.lower)
    for edge in edges:
        beyond = [point for point in edge if across[point] > end]
        folded[beyond, 0] = sign * (2 * end - across[beyond])
    painted = eyes.picture.clone()
    seen = [eyes.landmarks[[point for point in edge if across[point] <= end], :2] for edge in edges]
    visible = fill(torch.cat((seen[0], seen[1].flip(0)))[None], SIZE)[0] > 0.5
    painted[:, visible] = GREEN[:, None]
    closed = shown(View(painted, folded), SHUT)
    still_green = ((closed - GREEN[:, None, None]).abs().amax(0) < 0.05) & visible
    assert still_green.sum() < 0.03 * visible.sum()


def test_the_eye_is_covered_row_by_row(eyes):
    painted = eyes.picture.clone()
    opening = between(eyes, 0.0, 0.0, closed=True)
    painted[:, opening] = GREEN[:, None]
    view = View(painted, eyes.landmarks)
    is_green = [
        ((shown(view, closure * SHUT) - GREEN[:, None, None]).abs().amax(0) < 0.05) & opening
        for closure in (0.0, 0.3, 0.6, 1.0)
    ]
    assert is_green[0].equal(opening)
    for before, after in pairwise(is_green):
        assert not (after & ~before).any()
        assert after.sum() < 0.8 * before.sum()
        assert not (after[:-1] & ~after[1:] & opening[1:]).any()  # all that is below a visible pixel is visible
    assert is_green[-1].sum() < 0.02 * opening.sum()


def test_open_eyes_are_untouched_and_each_eye_closes_alone(eyes):
    assert torch.equal(shown(eyes, 0 * SHUT), eyes.picture)
    wink = (shown(eyes, torch.tensor([[1.0, 0.0]])) - eyes.picture).abs().amax(0)
    middle = int(eyes.landmarks[168, 0])
    assert wink[:, :middle].max() > 0.2
    assert wink[:, middle:].max() == 0
    far = int(eyes.landmarks[4, 1])  # the tip of the nose
    assert wink[far:].max() == 0


def test_lids_close_in_a_turned_and_moved_head(eyes):
    """The lid goes where the skin goes: closing and then moving is moving and then closing."""
    shifted = torch.roll(eyes.picture, (12, -20), (1, 2))[None].clone()
    at = at_rest() - torch.tensor([-20.0, 12.0])[:, None, None] / SIZE
    closed = lids_of(eyes.picture, eyes.landmarks).close(shifted, at, SHUT)
    wanted = torch.roll(shown(eyes, SHUT), (12, -20), (1, 2))
    assert (closed[0] - wanted)[:, 40:-40, 40:-40].abs().max() < 1e-3


def blinking(closures: list[float], pitch: float = 0.0) -> MotionTrack:
    track = MotionTrack.of_expression(torch.zeros(len(closures), 52), 25.0)
    track.blink[:] = torch.tensor(closures)
    track.rotation[:, 0] = pitch
    track.rest[:] = 1
    return track


def test_closed_eyes_are_opened_as_they_were(identity, basis):
    closed, open_ = (
        move_landmarks(identity.landmarks, identity.blendshapes, blinking(values), basis)
        for values in ([0.0, 0.5, 1.0], [0.0])
    )
    opened, closure = opened_eyes(identity.landmarks, closed)
    assert closure[0].max() == 0
    assert ((closure[1] > 0.35) & (closure[1] < 0.55)).all()
    assert closure[2].min() > 0.95
    edges = list(mesh.EYE_RIGHT_UPPER + mesh.EYE_LEFT_UPPER)
    assert (opened[2] - open_[0])[edges, :2].norm(dim=-1).max() < 0.02 * eye_distance(identity.landmarks)


def test_a_nod_is_no_blink(identity, basis):
    for pitch in (-0.12, 0.12):
        moved = move_landmarks(identity.landmarks, identity.blendshapes, blinking([0.0], pitch), basis)
        assert opened_eyes(identity.landmarks, moved)[1].max() == 0


def test_crop_and_full_picture_blink_alike(identity, basis):
    structure = build_structure(identity, blinking([1.0]), basis, SMALL)
    compositor = Compositor(identity.portrait, identity.crop, landmarks=identity.landmarks)
    none = torch.zeros_like(structure.warped)
    full = compositor.crops(structure.flow, none, structure.mask, closure=structure.closure)
    small = torch.nn.functional.interpolate(full, (256, 256), mode="bilinear", antialias=True)
    around = between(View(none[0], identity.landmarks * (SIZE / 256)), 0.1, 0.05, closed=True)[::2, ::2]
    assert (small - structure.warped)[0, :, around].abs().mean() < 0.02
    open_ = compositor.crops(structure.flow, none, structure.mask)
    assert (full - open_).abs().amax() > 0.2
    unclosed = close_lids(structure.warped.clone(), structure.flow, View(none[0], identity.landmarks), 0 * SHUT)
    assert torch.equal(unclosed, structure.warped)


def test_lids_are_worked_out_once_a_portrait(eyes, monkeypatch):
    from portraittalk.compositing import lids

    worked = []
    monkeypatch.setattr(lids, "lids_of", lambda *view: worked.append(view) or lids_of(*view))
    portrait = View(eyes.picture.clone(), eyes.landmarks.clone())
    flow = torch.zeros(1, 8, 64, 64)
    first = close_lids(portrait.picture[None].clone(), flow, portrait, SHUT)
    again = close_lids(portrait.picture[None].clone(), flow, View(portrait.picture, portrait.landmarks), SHUT)
    assert len(worked) == 1 and torch.equal(first, again)
    brighter = View((portrait.picture + 0.2).clamp(0, 1), portrait.landmarks)
    assert not torch.equal(close_lids(portrait.picture[None].clone(), flow, brighter, SHUT), first)
