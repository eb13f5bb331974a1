"""The predictor of ADFD, trained for some steps on the demo portrait, moved by the demo speech."""

import shutil

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.media.audio import read_audio
from portraittalk.metrics.adfd import adfd
from portraittalk.metrics.dynamics import face_measures, load_dynamics
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import move_landmarks
from portraittalk.motion.track import MotionTrack
from portraittalk.training.data.prepare import write_clip
from portraittalk.training.motion.adfd import AdfdTraining, train_adfd
from portraittalk.training.trainer import TrainerConfig


@pytest.fixture(scope="module")
def spoken(portrait_face, repository, tmp_path_factory):
    """Clips whose mouths open with the loudness of the speech, as the shipped predictor hears it, and their sounds."""
    folder = tmp_path_factory.mktemp("spoken")
    speech = repository / "portraittalk/assets/demo/speech.wav"
    heard = load_dynamics().curves_of(read_audio(speech))[:, 0]
    expression = torch.zeros(len(heard), 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = (5 * (heard - heard.min())).clamp(0, 1)
    track = MotionTrack.of_expression(expression, 25.0)
    landmarks = move_landmarks(portrait_face.landmarks, portrait_face.blendshapes, track, load_basis())
    sounds = {}
    for name in ("a", "b"):
        shapes = torch.zeros(len(landmarks), 52)
        write_clip(folder / f"{name}.safetensors", {"landmarks": landmarks, "blendshapes": shapes})
        sounds[name] = folder / f"{name}.wav"
        shutil.copy(speech, sounds[name])
    return sorted(folder.glob("*.safetensors")), sounds, landmarks


def test_it_learns_what_the_face_does_while_it_hears(spoken, tmp_path):
    clips, sounds, landmarks = spoken
    trainer = TrainerConfig(steps=30, learning_rate=5e-3, warmup=5, ema=0.8, bf16=False)
    training = AdfdTraining(batch=4, frames=50, trainer=trainer)
    net = train_adfd(clips, sounds, training, tmp_path)
    assert net.trust.sum() == pytest.approx(1, abs=1e-3) and (net.spread > 0).all()
    written = load_dynamics(tmp_path / "adfd.safetensors")
    found = face_measures(landmarks)
    result = adfd(found, written.curves_of(read_audio(sounds["a"])), written)
    assert result is not None and result.score > 0.3
