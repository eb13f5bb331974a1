"""Trains the speech-to-face predictor of ADFD: ``portraittalk train adfd fit``.

It sees filmed clips alone: their landmarks, and their sound in many voices and rooms (``speech_augment``).
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from ...config import SpeechConfig
from ...media.audio import read_audio
from ...metrics.dynamics import FPS, DynamicsNet, face_measures, save_dynamics
from ...speech.features import level_gain
from ..data.clips import open_clip
from ..trainer import TrainerConfig, fit
from .speech_data import Utterance, batches, spectrum, to_spectra

log = logging.getLogger(__name__)

QUIET = 0.25  # the quietest part of a clip, in which the face is at rest


@dataclass(frozen=True)
class AdfdTraining:
    """held_back: every so many clips one is kept to learn from which curves can be trusted. keep_offset: how much a
    constant error of a whole stretch counts; the face at rest is not the same in every clip. velocity: weight."""

    batch: int = 16
    frames: int = 75
    held_back: int = 20
    keep_offset: float = 0.3
    velocity: float = 2.0
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def train_adfd(clips: list[Path], sounds: dict[str, Path], training: AdfdTraining, out: Path) -> DynamicsNet:
    """clips: prepared clips at 25 frames a second. sounds: the sound file of each, by the clip's name.

    Writes ``out/adfd.safetensors``.
    """
    spoken = {path.stem: _load(path, sounds[path.stem]) for path in clips}
    names = sorted(spoken)
    held_back = names[:: training.held_back]
    learnt = [name for name in names if name not in held_back]
    torch.manual_seed(training.seed)
    net = DynamicsNet()
    net.spread.copy_(torch.stack([spoken[name].motion.std(0) for name in learnt]).mean(0))
    for utterance in spoken.values():
        utterance.motion.div_(net.spread)
    log.info("%d clips to learn from, %d held back", len(learnt), len(held_back))
    groups = [(1.0, [spoken[name] for name in learnt])]
    draw = batches(groups, SpeechConfig(), training.batch, training.frames)

    def loss(model: nn.Module, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        error = model(batch["features"]) - batch["motion"]
        velocity = error.diff(dim=1).square().mean()
        place = (error - (1 - training.keep_offset) * error.mean(1, keepdim=True)).square().mean()
        return {"loss": place + training.velocity * velocity, "place": place, "velocity": velocity}

    average = fit(net, draw, loss, training.trainer, out, training.seed).cpu()
    assert isinstance(average, DynamicsNet)
    correlations = torch.stack([_correlations(average, sounds[name], spoken[name]) for name in held_back]).mean(0)
    log.info("correlation with the clips held back: %s", [round(value, 2) for value in correlations.tolist()])
    trust = correlations.clamp_min(0).square()
    average.trust.copy_(trust / trust.sum())
    save_dynamics(out / "adfd.safetensors", average)
    return average


def _load(clip: Path, sound: Path) -> Utterance:
    """A clip's powers and its curves at their times, in eye distances from rest."""
    power = spectrum(read_audio(sound), SpeechConfig())
    curves = face_measures(open_clip(clip).landmarks)
    per_frame = round(SpeechConfig().sample_rate / SpeechConfig().hop / FPS)
    loudness = power.sum(1)[per_frame // 2 :: per_frame][: len(curves)]
    resting = curves[: len(loudness)][loudness <= loudness.quantile(QUIET)].mean(0)
    phones = torch.zeros(len(power), dtype=torch.long)
    return Utterance(power, phones, to_spectra(curves - resting, len(power), SpeechConfig()), level_gain(power))


def _correlations(net: DynamicsNet, sound: Path, utterance: Utterance) -> Tensor:
    """Of each curve heard in the sound with the one seen: (9,)."""
    wanted = to_spectra(net.curves_of(read_audio(sound)), len(utterance.power), SpeechConfig())
    pair = torch.stack((wanted / net.spread, utterance.motion)).permute(2, 0, 1)  # (9, 2, J)
    return torch.stack([torch.corrcoef(curves)[0, 1] for curves in pair])
