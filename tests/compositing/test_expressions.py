"""Pictures of expressions by geometry alone: where they differ from the portrait, and that chunks do not matter."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing import layers
from portraittalk.compositing.expressions import with_expressions
from portraittalk.compositing.teeth import painted_mouth
from portraittalk.face.align import extract_crop, to_crop
from portraittalk.face.expression_crop import expression_crop
from portraittalk.face.mesh import MeshProvider
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import lip_aperture
from portraittalk.motion.track import MotionTrack


@pytest.fixture(scope="module")
def small(portrait, portrait_face):
    """The demo portrait in a crop of 256 pixels, as the motion extractor sees it."""
    crop = expression_crop(portrait_face.landmarks, tuple(portrait.shape[-2:]), 256)
    return extract_crop(portrait, crop), to_crop(portrait_face.landmarks, crop)


def rendered(small, expression, chunk=8):
    picture, landmarks = small
    track = replace(MotionTrack.of_expression(expression, 25.0), rest=torch.ones(len(expression)))
    return torch.cat(list(with_expressions(picture, landmarks, torch.zeros(52), track, load_basis(), chunk)))


def test_nothing_moves_without_an_expression_and_only_the_face_with_one(small):
    picture, landmarks = small
    expression = torch.zeros(3, 52)
    expression[1, ARKIT_INDEX["browInnerUp"]] = 1
    expression[2, ARKIT_INDEX["mouthLowerDownLeft"]] = expression[2, ARKIT_INDEX["mouthLowerDownRight"]] = 0.8
    still, brows, lips = rendered(small, expression)
    assert (still - picture).abs().mean() < 0.002
    low, high = landmarks[:, :2].amin(0).int().tolist(), landmarks[:, :2].amax(0).int().tolist()
    outside = torch.ones(256, 256, dtype=torch.bool)
    outside[max(low[1] - 40, 0) : high[1] + 40, max(low[0] - 40, 0) : high[0] + 40] = False
    assert torch.equal(brows[:, outside], still[:, outside])
    middle = int(landmarks[2, 1])  # base of the nose
    above, below = slice(0, middle), slice(middle, None)
    assert (brows - still)[:, above].abs().sum() > 3 * (brows - still)[:, below].abs().sum()
    assert (lips - still)[:, below].abs().sum() > 3 * (lips - still)[:, above].abs().sum()


def test_lips_that_part_are_seen_apart(small, portrait):
    expression = torch.zeros(2, 52)
    expression[1, ARKIT_INDEX["jawOpen"]] = 0.6
    pictures = rendered(small, expression)
    closed, opened = (MeshProvider()(picture)[0].landmarks for picture in pictures)
    assert lip_aperture(opened) > lip_aperture(closed) + 0.1


def test_heads_turn_where_that_is_asked_for(small, portrait):
    picture, landmarks = small
    track = MotionTrack.of_expression(torch.zeros(1, 52), 25.0)
    track = replace(track, rest=torch.ones(1), rotation=torch.tensor([[0.0, 0.2, 0.0]]))
    given = picture, landmarks, torch.zeros(52), track, load_basis()
    still, turned = (torch.cat(list(with_expressions(*given, turn=turn)))[0] for turn in (False, True))
    assert (still - picture).abs().mean() < 0.002
    seen = MeshProvider()(turned)[0].landmarks
    assert seen[4, 0] > landmarks[4, 0] + 3  # the tip of the nose goes to the picture's right
    assert (seen[4] - seen[[33, 263]].mean(0))[0] > (landmarks[4] - landmarks[[33, 263]].mean(0))[0] + 1


def test_tongues_stay_at_rest(small, monkeypatch):
    painted = []
    monkeypatch.setattr(layers, "painted_mouth", lambda *given: painted.append(given[-1]) or painted_mouth(*given))
    expression = torch.zeros(2, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.5
    expression[1, ARKIT_INDEX["tongueOut"]] = 1
    pictures = rendered(small, expression)
    assert len(painted) == 1 and not painted[0].out.any() and torch.equal(pictures[0], pictures[1])


def test_frames_do_not_depend_on_the_chunks(small):
    expression = torch.rand(3, 52, generator=torch.Generator().manual_seed(0)) * 0.3
    torch.testing.assert_close(rendered(small, expression, 1), rendered(small, expression, 3), atol=1e-5, rtol=0)
