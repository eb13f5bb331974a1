"""The autoencoder, the basis and the motion network, each trained for a moment on the film of the demo portrait."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from portraittalk.config import MotionNetConfig
from portraittalk.face.rigid import apply_rigid, rigid_fit
from portraittalk.models.face_basis import load_basis
from portraittalk.speech.phones import Phone, write_phones
from portraittalk.training.animate.autoencoder import AutoencoderTraining, train_autoencoder
from portraittalk.training.data.clips import Clip
from portraittalk.training.data.prepare import clip_files, write_clip
from portraittalk.training.data.tracks import read_track
from portraittalk.training.face.basis import fit
from portraittalk.training.motion import speech
from portraittalk.training.motion.speech import MotionTrainingConfig, Sources, train
from portraittalk.training.trainer import TrainerConfig

TRAINER = TrainerConfig(steps=30, learning_rate=3e-3, warmup=5, bf16=False, ema=0.8, log_every=5)


def track_of(clips, names):
    """Landmarks (F, 478, 3) and blendshapes (F, 52) of successive clips."""
    every = [Clip(clips / f"{name}.safetensors") for name in names]
    return torch.cat([clip.landmarks for clip in every]), torch.cat([clip.blendshapes for clip in every])


@pytest.fixture
def track(clips, tmp_path):
    """A track file of the film."""
    landmarks, shapes = track_of(clips, ("anna_talks_000", "anna_talks_001"))
    found = torch.ones(len(shapes), dtype=torch.bool)
    path = tmp_path / "anna_talks.safetensors"
    write_clip(path, {"landmarks": landmarks, "blendshapes": shapes, "found": found})
    return path


@pytest.mark.parametrize("decoder_only", [False, True])
def test_the_autoencoder_lowers_its_loss_and_shows_pictures(clips, tiny, tmp_path, losses, decoder_only):
    training = AutoencoderTraining(window=32, batch=4, decoder_only=decoder_only, trainer=TRAINER)
    files = list(clip_files(clips))
    train_autoencoder(files, tiny.crop_size, tiny.autoencoder, training, tmp_path)
    told = losses(tmp_path)
    assert told[-1] < 0.8 * told[0]
    assert list((tmp_path / "pictures").glob("reconstruction_*.png"))
    assert 0 < losses(tmp_path, "validation/mse")[-1] < 0.2


def test_the_basis_comes_nearer_to_the_film_than_its_prior(clips, track):
    true = load_basis()
    landmarks, shapes = read_track(track)  # a second alone would not move the prior
    prior = 0.5 * true.expression
    fitted = fit([(landmarks, shapes)] * 20, track_of(clips, ("portrait",)), prior, true.mean)

    def error(basis):
        still = apply_rigid(landmarks, *rigid_fit(landmarks, true.mean.expand_as(landmarks)))
        shown = basis.displacement(shapes)
        mouth = true.mean[:, 1] > 0.4
        return ((still - still.mean(0)) - (shown - shown.mean(0)))[:, mouth].norm(dim=-1).mean()

    before = load_basis()
    before.expression.copy_(prior)
    assert error(fitted) < 0.9 * error(before)


def test_the_motion_network_learns_from_film_and_silence(film, track, tiny, tmp_path, losses, monkeypatch):
    # There is no synthetic speech here to articulate; what the articulator learns is tested in test_motion.py.
    monkeypatch.setattr(speech, "train_articulator", partial(speech.train_articulator, steps=4))
    spoken = [Phone(0.1, 0.2, "HH"), Phone(0.2, 0.3, "AH"), Phone(0.3, 0.4, "L"), Phone(0.4, 0.6, "OW")]
    write_phones(tmp_path / "anna_talks.phones", [*spoken, Phone(0.8, 0.9, "G"), Phone(0.9, 1.0, "IH")])
    config = replace(tiny, motion_net=MotionNetConfig(width=24, layers=2))
    sources = Sources((film,), track.parent, tmp_path, ())
    training = MotionTrainingConfig(batch_size=4, frames=25, main_speaker="anna_", trainer=TRAINER)
    train(sources, sources, load_basis(), tmp_path / "run", config, training)
    told = losses(tmp_path / "run")
    assert told[-1] < 0.8 * told[0]
    assert -1 <= losses(tmp_path / "run", "validation/aperture_correlation")[-1] <= 1
