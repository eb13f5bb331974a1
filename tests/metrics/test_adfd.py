"""ADFD on the demo portrait and speech: what must score 1, what 0, and that lateness costs what the formula says."""

import math

import pytest
import torch

from portraittalk.errors import WeightsError
from portraittalk.media.audio import read_audio
from portraittalk.metrics.adfd import FREE, PATIENCE, SHORTEST, adfd
from portraittalk.metrics.dynamics import DynamicsNet, face_measures, load_dynamics, measures_of_faces, save_dynamics
from portraittalk.metrics.ranking import shifted
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import move_landmarks, rotation_matrix
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Face


@pytest.fixture(scope="module")
def net():
    return load_dynamics()


@pytest.fixture(scope="module")
def speech(repository):
    return read_audio(repository / "portraittalk/assets/demo/speech.wav", duration=3.0)


@pytest.fixture(scope="module")
def heard(net, speech):
    return net.curves_of(speech)


def test_one_curve_a_frame_and_silence_is_calm(net, speech, heard):
    assert heard.shape == (75, 9)
    silence = net.curves_of(shifted(speech, speech.seconds - 0.2))
    assert silence[:50].std(0)[0] < heard.std(0)[0] / 3


def test_the_asked_for_motion_scores_high_and_stillness_nothing(net, heard):
    followed = adfd(heard, heard, net)
    assert followed.score > 0.8 and followed.lag == 0
    assert adfd(torch.zeros(75, 9), heard, net).score == 0
    jitter = 0.05 * net.spread * torch.randn(75, 9, generator=torch.Generator().manual_seed(0))
    assert adfd(jitter, heard, net).score < 0.02
    assert adfd(-heard, heard, net).score < 0.2 * followed.score


@pytest.mark.parametrize("lag", [-5, 1, 5])
def test_what_is_late_is_found_at_its_lag_and_priced(net, heard, lag):
    late = torch.roll(heard, lag, 0)
    result = adfd(late, heard, net)
    price = math.exp(-0.5 * ((abs(lag) - FREE) / PATIENCE) ** 2)
    assert result.lag == lag and result.score == pytest.approx(price * result.spatial * result.temporal, rel=1e-3)
    assert result.score < adfd(heard, heard, net).score + 0.02


def test_offsets_and_frames_without_a_face_do_not_count(net, heard):
    holed = heard + 0.3
    holed[20:24] = torch.nan
    assert adfd(holed, heard, net).score == pytest.approx(adfd(heard, heard, net).score, abs=0.05)


def test_less_than_a_second_is_not_judged(net, heard):
    assert adfd(heard[: SHORTEST - 1], heard, net) is None


def test_measures_are_free_of_pose_and_size(portrait_face):
    points = portrait_face.landmarks
    turned = 1.7 * points @ rotation_matrix(torch.tensor([0.1, 0.2, 0.3])).T + 40
    assert torch.allclose(face_measures(points[None]), face_measures(turned[None]), atol=1e-4)


def test_an_opening_jaw_is_seen_in_the_curves(portrait_face):
    expression = torch.zeros(2, 52)
    expression[1, 24] = 0.5  # jawOpen
    track = MotionTrack.of_expression(expression, 25.0)
    moved = move_landmarks(portrait_face.landmarks, portrait_face.blendshapes, track, load_basis())
    shut, opened = measures_of_faces([Face(points) for points in moved])
    assert opened[0] > shut[0] + 0.05 and opened[5] > shut[5] + 0.02  # lip aperture, jaw
    assert measures_of_faces([None]).isnan().all()


def test_weights_come_back_and_foreign_ones_are_refused(net, heard, speech, repository, tmp_path):
    save_dynamics(tmp_path / "again.safetensors", net)
    assert torch.allclose(load_dynamics(tmp_path / "again.safetensors").curves_of(speech), heard, atol=1e-6)
    with pytest.raises(WeightsError, match="ADFD"):
        load_dynamics(repository / "portraittalk/assets/face/landmarker.safetensors")


def test_it_shares_nothing_with_the_generator(net):
    from portraittalk.pipelines.load import load_model

    theirs = {tuple(p.shape): p for p in load_model("mini").motion_net.parameters()}
    assert not any(tuple(p.shape) in theirs and torch.equal(p, theirs[tuple(p.shape)]) for p in net.parameters())
    assert sum(p.numel() for p in DynamicsNet().parameters()) < 200_000
