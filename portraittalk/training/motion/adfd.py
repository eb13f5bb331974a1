"""Training of ADFD's speech-to-face predictor: ``portraittalk train adfd fit``.

It is trained only on video clips: their landmarks, and their sound augmented to many voices and rooms (``augment``).
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

QUIET = 0.25  # fraction of quietest frames of a clip, in which the face is taken to be at rest


@dataclass(frozen=True)
class AdfdTraining:
    """held_back: one clip in this many is held out to weight the curves by how well they are predicted. keep_offset:
    weight of an error that is constant over a window, since the face at rest differs between clips. velocity: weight of
    the velocity error."""

    batch: int = 16
    frames: int = 75
    held_back: int = 20
    keep_offset: float = 0.3
    velocity: float = 2.0
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def train_adfd(clips: list[Path], sounds: dict[str, Path], training: AdfdTraining, out: Path) -> DynamicsNet:
    """Train the predictor and write ``out/adfd.safetensors``.

    clips: prepared clips at 25 fps. sounds: clip name -> sound file.
    """
    utterances = {path.stem: _load(path, sounds[path.stem]) for path in clips}
    names = sorted(utterances)
    held_back = names[:: training.held_back]
    training_names = [name for name in names if name not in held_back]
    torch.manual_seed(training.seed)
    net = DynamicsNet()
    net.spread.copy_(torch.stack([utterances[name].motion.std(0) for name in training_names]).mean(0))
    for utterance in utterances.values():
        utterance.motion.div_(net.spread)
    log.info("%d training clips, %d held out", len(training_names), len(held_back))
    groups = [(1.0, [utterances[name] for name in training_names])]
    draw = batches(groups, SpeechConfig(), training.batch, training.frames)

    def loss(model: nn.Module, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        error = model(batch["features"]) - batch["motion"]
        velocity = error.diff(dim=1).square().mean()
        position = (error - (1 - training.keep_offset) * error.mean(1, keepdim=True)).square().mean()
        return {"loss": position + training.velocity * velocity, "place": position, "velocity": velocity}

    average = fit(net, draw, loss, training.trainer, out, training.seed).cpu()
    assert isinstance(average, DynamicsNet)
    correlations = torch.stack([_correlations(average, sounds[name], utterances[name]) for name in held_back]).mean(0)
    log.info("correlation on the held-out clips: %s", [round(value, 2) for value in correlations.tolist()])
    trust = correlations.clamp_min(0).square()
    average.trust.copy_(trust / trust.sum())
    save_dynamics(out / "adfd.safetensors", average)
    return average


def _load(clip: Path, sound: Path) -> Utterance:
    """Load a clip's mel powers and its curves resampled to their times, in eye distances relative to rest."""
    power = spectrum(read_audio(sound), SpeechConfig())
    curves = face_measures(open_clip(clip).landmarks)
    per_frame = round(SpeechConfig().sample_rate / SpeechConfig().hop / FPS)
    loudness = power.sum(1)[per_frame // 2 :: per_frame][: len(curves)]
    resting = curves[: len(loudness)][loudness <= loudness.quantile(QUIET)].mean(0)
    phones = torch.zeros(len(power), dtype=torch.long)
    return Utterance(power, phones, to_spectra(curves - resting, len(power), SpeechConfig()), level_gain(power))


def _correlations(net: DynamicsNet, sound: Path, utterance: Utterance) -> Tensor:
    """Return the correlation of each predicted curve with the measured one: (9,)."""
    predicted = to_spectra(net.curves_of(read_audio(sound)), len(utterance.power), SpeechConfig())
    pair = torch.stack((predicted / net.spread, utterance.motion)).permute(2, 0, 1)  # (9, 2, J)
    return torch.stack([torch.corrcoef(curves)[0, 1] for curves in pair])
