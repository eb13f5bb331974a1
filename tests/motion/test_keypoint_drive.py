"""Keypoints of a driven portrait: by geometry, by the small networks, by the map, and nothing without motion."""

from dataclasses import replace

import pytest
import torch
from liveportrait_networks import golden_networks

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.face.align import to_crop
from portraittalk.face.expression_crop import expression_crop, eye_ratios, lip_ratio
from portraittalk.face.rigid import rigid_fit
from portraittalk.models.face_basis import load_basis
from portraittalk.models.liveportrait.keypoints import FaceMotion
from portraittalk.motion.geometry import keeps_mouth, lip_aperture, move_landmarks
from portraittalk.motion.keypoint_drive import KeypointDriver, KeypointFace, closing_gain
from portraittalk.motion.keypoint_map import hand_made_map
from portraittalk.motion.track import MotionTrack

SIZE = 512


class Retargeting:
    """As the real one, with small networks that answer with what they are asked."""

    def stitched(self, source, driving):
        return driving

    def lip_change(self, source, ratio, target):
        return target[:, None, None].expand(-1, 21, 3)

    def eye_change(self, source, ratios, target):
        return 10 * target[:, None, None].expand(-1, 21, 3)


@pytest.fixture(scope="module")
def basis():
    return load_basis()


@pytest.fixture(scope="module")
def face(portrait_face):
    landmarks = to_crop(portrait_face.landmarks, expression_crop(portrait_face.landmarks, (768, 768), SIZE))
    points = torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(0)) * 0.2
    points[0, 11, 0], points[0, 15, 0] = -0.2, 0.2
    motion = FaceMotion(
        points, torch.eye(3)[None], torch.zeros(1, 21, 3), torch.tensor([[0.02, 0.1, 0.3]]), torch.tensor([[1.2]])
    )
    return KeypointFace(motion, hand_made_map(), landmarks, torch.zeros(52), SIZE, torch.ones(1), torch.ones(1))


def track(frames=1, **coefficients):
    expression = torch.zeros(frames, 52)
    for name, value in coefficients.items():
        expression[:, ARKIT_INDEX[name]] = value
    return replace(MotionTrack.of_expression(expression, 25.0), rest=torch.ones(frames))


@pytest.fixture(scope="module")
def drive(face, basis):
    return KeypointDriver(face, basis, Retargeting())


def test_without_motion_the_portraits_own_keypoints(drive, face):
    torch.testing.assert_close(drive(track(2)), face.motion.points().expand(2, -1, -1), atol=1e-5, rtol=0)


def test_stitching_is_the_last_step(face, basis):
    small = golden_networks()["retargeting"]
    drive = KeypointDriver(face, basis, small)
    wanted = small.stitched(drive.source, drive.source)
    torch.testing.assert_close(drive(track()), wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(wanted, drive.source, atol=1e-2)


@pytest.mark.parametrize("pose", [(0.2, 0, 0), (0, 0.3, 0), (0, 0, 0.2), (0.1, -0.2, 0.1)])
@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.1, -0.05, 0.5)])
def test_keypoints_on_the_head_move_as_its_landmarks(pose, shift, face, basis):
    """Points of the mean face, given as keypoints, stay on the face that geometry moves."""
    facing, size, offset = rigid_fit(basis.mean, face.landmarks)
    some = torch.tensor([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 2, 98, 327, 10, 109, 338, 67, 297, 61, 291, 152])
    origin = torch.tensor([0.0, 0.9, 0.7])  # on the neck: the depth that is assumed
    head = basis.mean[some] - origin
    half = SIZE / 2
    at = offset + size * origin @ facing.T
    motion = FaceMotion(
        head[None],
        facing.T[None],
        torch.zeros(1, 21, 3),
        torch.cat((at[:2] / half - 1, torch.zeros(1)))[None],
        (size / half)[None, None],
    )
    plain = replace(face, motion=motion, offsets=torch.zeros(52, 21, 3))
    moved = replace(track(), rotation=torch.tensor([pose]), translation=torch.tensor([shift]))
    mean = replace(face, landmarks=size * basis.mean @ facing.T + offset).landmarks

    class Nothing(Retargeting):
        def lip_change(self, source, ratio, target):
            return torch.zeros(1, 21, 3)

        eye_change = lip_change

    found = KeypointDriver(replace(plain, landmarks=mean), basis, Nothing())(moved)[0]
    wanted = move_landmarks(mean, torch.zeros(52), moved, basis)[0, some]
    pixels = (found[:, :2] + 1) * half
    # The lips and lids of the mean face are set to gaps by geometry, and steep sides slide over the outline.
    torch.testing.assert_close(pixels, wanted[:, :2], atol=0.06 * float(size), rtol=0)


def test_jaw_and_lids_go_through_the_small_networks(drive, face, basis):
    still = drive(track())
    opened = track(jawOpen=0.6)
    moved = move_landmarks(face.landmarks, torch.zeros(52), opened, basis)
    wanted = lip_ratio(moved) - lip_ratio(face.landmarks)
    assert wanted > 0.1
    torch.testing.assert_close((drive(opened) - still)[0], wanted.expand(21, 3), atol=1e-4, rtol=0)
    right, left = eye_ratios(face.landmarks)
    winked = (drive(track(eyeBlinkRight=1.0)) - still)[0]  # the subject's right eye is on the picture's left
    torch.testing.assert_close(winked[11], -10 * right.expand(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(winked[15], torch.zeros(3), atol=1e-4, rtol=0)
    both = (drive(replace(track(), blink=torch.ones(1))) - still)[0]
    torch.testing.assert_close(both[15], -10 * left.expand(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(both[0], -5 * (left + right).expand(3), atol=1e-4, rtol=0)


def test_other_coefficients_and_gaze_go_through_the_map_and_do_not_rotate(drive, face):
    scale = face.motion.scale[0, 0]
    turned = replace(track(), rotation=torch.tensor([[0.0, 0.3, 0.0]]))
    raised = replace(turned, expression=track(browInnerUp=1.0).expression)
    torch.testing.assert_close(
        (drive(raised) - drive(turned))[0], scale * hand_made_map()[ARKIT_INDEX["browInnerUp"]], atol=1e-4, rtol=0
    )
    looking = replace(track(), gaze=torch.tensor([[0.4, 0.0]]))
    change = (drive(looking) - drive(track()))[0]
    assert (change[[11, 15], 0] > 0).all()


def test_lips_that_the_map_parts_already_are_not_parted_twice(drive, face, basis):
    """The lower lip's own coefficient opens the mouth; the jaw's network gets only what is missing."""
    lowered = track(mouthLowerDownLeft=0.6, mouthLowerDownRight=0.6)
    change = (drive(lowered) - drive(track()))[0]
    mapped = (
        face.motion.scale[0, 0]
        * 0.6
        * sum(hand_made_map()[ARKIT_INDEX[name]] for name in ("mouthLowerDownLeft", "mouthLowerDownRight"))
    )
    parted = lip_ratio(move_landmarks(face.landmarks, torch.zeros(52), lowered, basis))[0]
    beyond = (change - mapped)[0, 0]
    assert parted - lip_ratio(face.landmarks) > 0.05
    assert beyond.abs() < 0.6 * (parted - lip_ratio(face.landmarks))


def test_lips_that_stay_apart_are_closed_further(face, basis):
    """Of an open mouth; where it opens further, nothing changes."""
    opened = move_landmarks(face.landmarks, torch.zeros(52), track(jawOpen=0.5), basis)[0]
    own = lip_ratio(opened)
    still, wide = replace(track(), rest=torch.zeros(1)), replace(track(jawOpen=0.9), rest=torch.zeros(1))
    gain = closing_gain(own, own / 5)
    assert gain == pytest.approx(1.25)
    plain, more = (
        KeypointDriver(replace(face, landmarks=opened, closing=closing[None]), basis, Retargeting())
        for closing in (torch.tensor(1.0), gain)
    )
    torch.testing.assert_close(more(still) - more.source, 1.25 * (plain(still) - plain.source), atol=1e-4, rtol=0)
    torch.testing.assert_close(more(wide), plain(wide), atol=1e-5, rtol=0)
    assert closing_gain(own, torch.zeros(())) == 1 and closing_gain(own, own) == 1.5


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_heads_turn_the_same_way_whichever_way_depth_points(sign, face, basis):
    """Keypoints with mirrored depth, as a network with the other habit would have them, move alike in the picture."""
    axes = torch.tensor([1.0, 1.0, sign])
    mirrored = replace(face, motion=replace(face.motion, keypoints=face.motion.keypoints * axes), depth=axes[2:])
    moved = replace(track(), rotation=torch.tensor([[0.1, 0.3, -0.1]]))
    points = KeypointDriver(mirrored, basis, Retargeting())(moved)
    wanted = KeypointDriver(face, basis, Retargeting())(moved)
    torch.testing.assert_close(points * axes, wanted, atol=1e-5, rtol=0)


def test_a_mouth_that_gapes_is_closed_in_silence(face, basis):
    opened = move_landmarks(face.landmarks, torch.zeros(52), track(jawOpen=0.9), basis)[0]
    assert keeps_mouth(lip_aperture(opened)) < 0.1
    drive = KeypointDriver(replace(face, landmarks=opened), basis, Retargeting())
    change = (drive(track()) - drive.source)[0, 0, 0]
    assert change < -0.9 * lip_ratio(opened)
