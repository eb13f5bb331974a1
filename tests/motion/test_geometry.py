from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.face import topology as mesh
from portraittalk.face.align import eye_distance
from portraittalk.face.rigid import rigid_fit, undo_rigid
from portraittalk.face.turned import along_outline
from portraittalk.motion.geometry import (
    EYE_LEFT,
    EYE_RIGHT,
    GAPES,
    LIPS,
    RESTS_OPEN,
    SHOWS_TEETH,
    SMILE_LOST,
    asked_aperture,
    eye_closure,
    gap,
    keeps_mouth,
    lip_aperture,
    move_landmarks,
    rotation_matrix,
    set_gap,
    shown_expression,
)
from portraittalk.motion.track import MotionTrack


def track_of(**coefficients: float) -> MotionTrack:
    expression = torch.zeros(1, 52)
    for name, value in coefficients.items():
        expression[0, ARKIT_INDEX[name]] = value
    return MotionTrack.of_expression(expression, 25.0)


@pytest.fixture(scope="module")
def smiling(identity, basis):
    """The portrait's landmarks and coefficients with a wide smile and open lips."""
    expression = identity.blendshapes.clone()
    wanted = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}
    for name, value in wanted.items():
        expression[ARKIT_INDEX[name]] = value
    landmarks = move_landmarks(identity.landmarks, identity.blendshapes, track_of(jawOpen=0.3, **wanted), basis)[0]
    expression[ARKIT_INDEX["jawOpen"]] = 0.3
    assert lip_aperture(landmarks) > 0.1
    return landmarks, expression


def test_a_still_track_moves_next_to_nothing(identity, basis):
    moved = move_landmarks(identity.landmarks, identity.blendshapes, track_of(), basis)
    apart = (moved[0] - identity.landmarks)[:, :2].norm(dim=1) / eye_distance(identity.landmarks)
    above = identity.landmarks[:, 1] < identity.landmarks[mesh.NOSE_BASE_LINE[3], 1]
    assert apart[above].max() < 0.01
    assert apart.max() < 0.08


@pytest.mark.parametrize("jaw", [0.0, 0.05, 0.1, 0.25, 0.5])
def test_lips_open_as_far_as_asked(identity, smiling, basis, jaw):
    track = track_of(jawOpen=jaw, mouthFunnel=0.1)
    for landmarks, expression in ((identity.landmarks, identity.blendshapes), smiling):
        moved = move_landmarks(landmarks, expression, track, basis)
        assert lip_aperture(moved).item() == pytest.approx(asked_aperture(track, basis).item(), rel=0.1, abs=1e-3)


def test_a_smile_with_teeth_closes_and_stays_a_smile(identity, smiling, basis):
    landmarks, expression = smiling
    closed = move_landmarks(landmarks, expression, track_of(), basis)[0]
    upper, lower = closed[list(LIPS.upper)], closed[list(LIPS.lower)]
    assert (lower - upper)[:, :2].norm(dim=1).max() < 0.5  # pixels
    width = [(points[291, 0] - points[61, 0]).item() for points in (identity.landmarks, closed)]
    assert width[1] > 1.05 * width[0]


def test_a_mouth_at_rest_is_the_portraits_own(smiling, basis):
    landmarks, expression = smiling
    parted = track_of(jawOpen=0.2, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5)
    landmarks = move_landmarks(landmarks, expression, parted, basis)[0]
    expression = expression.clone()
    expression[ARKIT_INDEX["jawOpen"]] = 0.2
    assert SHOWS_TEETH < lip_aperture(landmarks) < RESTS_OPEN
    silent = replace(track_of(), rest=torch.ones(1))
    moved = move_landmarks(landmarks, expression, silent, basis)[0]
    assert (moved - landmarks).norm(dim=1).max() < 0.01 * eye_distance(landmarks)
    shown, spoken = shown_expression(silent, expression), shown_expression(track_of(), expression)
    assert torch.allclose(shown, spoken.max(expression), atol=1e-6)
    half = move_landmarks(landmarks, expression, replace(silent, rest=torch.full((1,), 0.5)), basis)
    assert lip_aperture(half).item() == pytest.approx(lip_aperture(landmarks).item() / 2, rel=0.1)


def test_a_relaxed_smile_keeps_its_share_of_the_portraits_own():
    smiling = torch.full((52,), 0.4)
    shown = shown_expression(replace(track_of(), relaxed=torch.full((1,), 0.5)), smiling)
    still = shown_expression(track_of(), smiling)
    changed = {name: shown[0, ARKIT_INDEX[name]].item() for name in ARKIT_NAMES if "Smile" in name or "Dimple" in name}
    assert len(changed) == 4 and all(value == pytest.approx(0.2) for value in changed.values())
    cheeks = [ARKIT_INDEX["cheekSquintLeft"], ARKIT_INDEX["cheekSquintRight"]]
    assert torch.allclose(shown[0, cheeks], torch.tensor(0.3))
    same = [index for index, name in enumerate(ARKIT_NAMES) if name not in changed and index not in cheeks]
    assert torch.equal(shown[:, same], still[:, same])
    speaking = replace(track_of(mouthSmileLeft=0.3), relaxed=torch.ones(1))
    assert shown_expression(speaking, smiling)[0, ARKIT_INDEX["mouthSmileLeft"]].item() == pytest.approx(0.3)


def test_a_relaxed_smile_makes_the_mouth_narrower_and_no_other_one(smiling, identity, basis):
    relaxed = replace(track_of(), relaxed=torch.ones(1))

    def widths(landmarks, expression):
        moved = [move_landmarks(landmarks, expression, track, basis)[0] for track in (track_of(), relaxed)]
        return [float((points[61] - points[291])[:2].norm()) for points in moved]

    before, after = widths(*smiling)
    assert after < 0.97 * before
    before, after = widths(identity.landmarks, torch.zeros(52))
    assert after == pytest.approx(before)


def test_a_mouth_that_gapes_does_not_gape_at_rest(identity, basis):
    gaping = move_landmarks(identity.landmarks, identity.blendshapes, track_of(jawOpen=1.0), basis)[0]
    silent = replace(track_of(), rest=torch.ones(1))
    rested = move_landmarks(gaping, identity.blendshapes, silent, basis)
    assert lip_aperture(gaping) > 1.5 * RESTS_OPEN
    assert lip_aperture(rested).item() == pytest.approx(RESTS_OPEN, rel=0.15)


def test_a_gaping_portrait_closes_its_jaw_as_far_as_it_was_opened(identity, basis):
    """Even if its coefficients explain only half of the opening; lips alone would meet far too low."""
    opened = move_landmarks(identity.landmarks, identity.blendshapes, track_of(jawOpen=0.8), basis)[0]
    shapes = identity.blendshapes.clone()
    shapes[ARKIT_INDEX["jawOpen"]] = 0.45
    shut = move_landmarks(opened, shapes, track_of(), basis)[0]
    unit = eye_distance(identity.landmarks)
    for point in (13, 17, 61, 152):  # lips, a corner, the chin
        assert (shut - identity.landmarks)[point, :2].norm() < 0.06 * unit
        assert (shut - opened)[point, 1] * (identity.landmarks - opened)[point, 1] > 0


def test_a_jaw_that_is_read_as_shut_closes_only_where_teeth_cannot_be(identity, basis):
    unread = identity.blendshapes.clone()
    unread[ARKIT_INDEX["jawOpen"]] = 0
    unit = eye_distance(identity.landmarks)

    def raised(jaw: float) -> tuple[float, float]:
        """How far the chin rises while such a mouth shuts, and how far it had sunk."""
        opened = move_landmarks(identity.landmarks, identity.blendshapes, track_of(jawOpen=jaw), basis)[0]
        shut = move_landmarks(opened, unread, track_of(), basis)[0]
        return tuple(float(change[152, 1] / unit) for change in (opened - shut, opened - identity.landmarks))

    rise, _ = raised(0.25)  # as far as a smile bares closed teeth
    assert rise < 0.03
    rise, sunk = raised(0.8)
    assert 0.45 * sunk < rise < sunk


def test_a_mouth_is_kept_at_rest_unless_it_gapes():
    assert keeps_mouth(torch.tensor([0.0, RESTS_OPEN, GAPES, 0.5])).tolist() == [1, 1, 0, 0]


def test_no_squint_closes_an_eye(identity, basis):
    own = gap(_frontal(identity.landmarks, basis)[None], EYE_LEFT)
    gaps = []
    for strength in (0.0, 0.3, 0.6, 1.0):
        names = ("eyeSquint", "cheekSquint", "mouthSmile")
        squint = {f"{name}{side}": strength for name in names for side in ("Left", "Right")}
        moved = move_landmarks(identity.landmarks, identity.blendshapes, track_of(**squint), basis)[0]
        gaps.append(float(gap(_frontal(moved, basis)[None], EYE_LEFT) / own))
    assert gaps[0] > 0.95
    assert all(before > after > 0.45 for before, after in pairwise(gaps))
    assert gaps[-1] < 0.65


@pytest.mark.parametrize("narrow", [0.0, 0.4])
def test_no_eye_opens_much_further_than_in_the_portrait(identity, basis, narrow):
    """However narrow it is; a little is not held."""
    landmarks = move_landmarks(
        identity.landmarks, identity.blendshapes, replace(track_of(), blink=torch.full((1,), narrow)), basis
    )[0]
    own = gap(_frontal(landmarks, basis)[None], EYE_LEFT)
    gaps = []
    for strength in (0.0, 0.2, 0.5, 1.0, 2.0):
        wide = {f"eyeWide{side}": strength for side in ("Left", "Right")}
        moved = move_landmarks(landmarks, identity.blendshapes, track_of(**wide), basis)[0]
        gaps.append(float(gap(_frontal(moved, basis)[None], EYE_LEFT) / own))
    assert gaps[0] == pytest.approx(1, abs=0.02)
    assert 1.08 < gaps[1] < gaps[2] <= gaps[-1] < 1.38


def _frontal(landmarks, basis):
    return undo_rigid(landmarks, *rigid_fit(basis.mean, landmarks))


def test_speech_is_heard_in_a_mouth_at_rest(smiling, basis):
    landmarks, expression = smiling
    speaking = track_of(jawOpen=0.9)
    moved = [
        move_landmarks(landmarks, expression, replace(speaking, rest=torch.tensor([r])), basis) for r in (0.0, 1.0)
    ]
    assert torch.allclose(lip_aperture(moved[0]), lip_aperture(moved[1]), atol=1e-3)


def test_a_blink_closes_the_lids_and_nothing_else(identity, basis):
    still, shut = (
        move_landmarks(
            identity.landmarks, identity.blendshapes, replace(track_of(), blink=torch.tensor([blink])), basis
        )[0]
        for blink in (0.0, 1.0)
    )
    for seam in (EYE_LEFT, EYE_RIGHT):
        before, after = (points[list(seam.lower), 1] - points[list(seam.upper), 1] for points in (still, shut))
        assert after.abs().max() < 0.1 < before.min()
    far = [*mesh.LIPS_OUTER, *mesh.FACE_OVAL, *mesh.BROW_LEFT_UPPER, 4]
    assert (shut - still)[far].abs().max() < 0.5


def test_eye_blink_coefficients_count_from_open_to_shut(identity):
    closure = [
        eye_closure(track_of(eyeBlinkLeft=value), identity.blendshapes)[0].tolist() for value in (0.0, 0.2, 0.45, 0.7)
    ]
    left, right = zip(*closure, strict=True)
    assert left[0] == left[1] == 0 < left[2] < left[3] == 1
    assert not any(right)


def test_gaze_moves_the_irises_alone_and_the_coefficients_with_them(identity, basis):
    looking = replace(track_of(), gaze=torch.tensor([[0.2, 0.0]]))
    moved, still = (
        move_landmarks(identity.landmarks, identity.blendshapes, t, basis)[0] for t in (looking, track_of())
    )
    shift = moved - still
    assert (shift[list(mesh.IRIS_LEFT), 0] > 1).all() and (shift[list(mesh.IRIS_RIGHT), 0] > 1).all()
    assert shift[list(mesh.FACE_OVAL)].abs().max() < 1e-3
    shown = shown_expression(looking, torch.zeros(52))[0]
    assert shown[ARKIT_INDEX["eyeLookOutLeft"]] == shown[ARKIT_INDEX["eyeLookInRight"]] > 0.3
    assert shown[ARKIT_INDEX["eyeLookInLeft"]] == 0


def test_turning_shows_more_of_one_side_and_keeps_the_outline(identity, basis):
    turned, still = (
        move_landmarks(
            identity.landmarks,
            identity.blendshapes,
            replace(track_of(), rotation=torch.tensor([[0.0, yaw, 0.0]])),
            basis,
        )[0]
        for yaw in (0.17, 0.0)
    )
    shift = (turned - still)[:, 0] / eye_distance(identity.landmarks)
    assert shift[4] > 0.1  # the tip of the nose goes to the picture's right
    assert shift[list(mesh.FACE_OVAL)].abs().max() < shift[4]
    assert (turned - still)[list(mesh.FACE_OVAL)].roll(1, 0).sub((turned - still)[list(mesh.FACE_OVAL)]).norm(
        dim=1
    ).max() < 0.06 * eye_distance(identity.landmarks)


@pytest.mark.parametrize("yaw", [-35.0, 35.0])
def test_the_far_cheek_slides_along_its_outline(basis, yaw):
    """Its landmarks move with the jaw, but not out of the outline of a face that looks to the side, nor into it."""
    mouth = track_of(jawOpen=0.4, mouthFunnel=0.5)
    none = torch.zeros(52)
    facing = rotation_matrix(torch.tensor([0.0, yaw, 0.0]).deg2rad())
    face = 100 * basis.mean @ facing.T
    moved = move_landmarks(face, none, mouth, basis)[0]
    frontal = 100 * move_landmarks(basis.mean, none, mouth, basis)[0] @ facing.T
    free, kept = ((points - face)[:, :2] for points in (frontal, moved))
    outline = along_outline(face)
    assert outline is not None
    skin, seen = outline
    directions, lengths, _ = torch.linalg.svd(seen)
    across, held = directions[:, :, 1], 1 - lengths[:, 1]
    most = skin[held > 0.9]
    assert len(most) >= 5 and free[most].norm(dim=1).max() > 2
    out = [(change[skin] * across).sum(1)[held > 0.9].abs() for change in (free, kept)]
    assert out[0].max() > 1.0
    assert out[1].max() < 0.15 * out[0].max()
    others = [index for index in range(478) if index not in skin.tolist()]
    assert (free - kept)[others].abs().max() < 1e-2


def test_translation_is_in_eye_distances_of_the_picture(identity, basis):
    shifted, still = (
        move_landmarks(
            identity.landmarks, identity.blendshapes, replace(track_of(), translation=torch.tensor([t])), basis
        )
        for t in ([0.1, -0.05, 0.0], [0.0, 0.0, 0.0])
    )
    shift = (shifted - still)[0] / eye_distance(identity.landmarks)
    assert torch.allclose(shift, torch.tensor([0.1, -0.05, 0.0]).expand_as(shift), atol=0.01)
    away = move_landmarks(
        identity.landmarks,
        identity.blendshapes,
        replace(track_of(), translation=torch.tensor([[0.0, 0.0, 0.7]])),
        basis,
    )
    assert eye_distance(away[0]) < 0.95 * eye_distance(still[0])


def test_a_seam_can_be_set_to_any_gap_without_moving_what_is_far(basis):
    face = basis.mean.expand(3, -1, -1)
    asked = torch.tensor([0.0, 0.1, 0.25])
    moved = set_gap(face, LIPS, asked, basis.mean)
    assert torch.allclose(gap(moved, LIPS), asked, atol=1e-5)
    assert (moved - face)[:, [33, 263, 10, 4, 152]].abs().max() < 0.02
    assert torch.equal(moved[:, LIPS.corners], face[:, LIPS.corners])


def test_rounded_lips_open_in_the_middle_alone(basis):
    face = basis.mean.expand(3, -1, -1)
    asked, rounding = torch.tensor([0.06, 0.06, 0.3]), torch.tensor([0.0, 1.0, 1.0])
    moved = set_gap(face, LIPS, asked, basis.mean, rounding)
    assert torch.equal(moved[0], set_gap(face, LIPS, asked, basis.mean)[0])
    assert torch.allclose(gap(moved, LIPS), asked, atol=1e-5)
    gaps = (moved[:, LIPS.lower, 1] - moved[:, LIPS.upper, 1]) / asked[:, None]
    assert gaps[1, 0] < 0.25 * gaps[0, 0] and gaps[1, 1] < 0.75 * gaps[0, 1]  # next to the corner
    assert gaps[2, 0] > 0.9 * gaps[0, 0]  # wide open, they are an oval
    closed = set_gap(face, LIPS, torch.zeros(3), basis.mean, rounding)
    assert torch.isfinite(closed).all() and gap(closed, LIPS).abs().max() < 1e-5


def test_lips_are_rounded_relative_to_the_portrait(basis):
    puckered = torch.zeros(52)
    puckered[ARKIT_INDEX["mouthPucker"]] = 0.8
    face = 100 * set_gap(basis.mean[None], LIPS, torch.tensor([0.1]), basis.mean)[0]
    track = replace(track_of(mouthPucker=0.8), rest=torch.ones(1))
    assert torch.allclose(move_landmarks(face, puckered, track, basis)[0], face, atol=0.05)
    assert (move_landmarks(face, torch.zeros(52), track, basis)[0] - face).abs().max() > 2


def test_rounded_lips_relax_a_smile(smiling):
    _, portrait = smiling
    smile = ARKIT_INDEX["mouthSmileLeft"]
    shown = [float(shown_expression(track_of(mouthPucker=value), portrait)[0, smile]) for value in (0.0, 0.35, 1.0)]
    assert shown[0] == pytest.approx(float(portrait[smile]))
    assert shown[1] == pytest.approx((1 - SMILE_LOST / 2) * shown[0], abs=0.03)
    assert shown[2] == pytest.approx((1 - SMILE_LOST) * shown[0], abs=0.03)
    assert shown[2] < 0.5 * shown[0]
    away = track_of(mouthPucker=1.0, mouthSmileLeft=-1.0)
    assert shown_expression(away, portrait)[0, smile] == 0
