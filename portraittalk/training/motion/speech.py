"""Trains the motion network.

Filmed clips give motion; synthetic speech gives voices and phones, and takes its motion from the articulator that the
filmed clips teach; silence, noise and music teach the lips to rest.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from ...config import MINI, PortraitTalkConfig
from ...media.audio import frame_count, read_audio
from ...models.face_basis import FaceBasis
from ...models.motion_net import BILABIALS, BOTH_SIDES, MOTION_FPS, MotionNet
from ...motion.geometry import lip_aperture
from ...speech.features import encode_speech
from ...speech.phones import PHONE_INDEX, SILENCE_PHONE, Phone, phone_labels, read_phones
from ..data.tracks import read_spoken_track
from ..trainer import Batch, TrainerConfig, fit
from .articulation import train_articulator
from .speech_data import (
    Utterance,
    batches,
    load_groups,
    load_utterance,
    save_groups,
    spectrum,
    unspoken,
    usual_levels,
    wordless,
)
from .targets import at_rest, fit_coefficients

log = logging.getLogger(__name__)

LARGEST_LAG = 3  # frames, in validation
SMALLEST_SPREAD = 0.01  # of a coefficient: what hardly moves must not count most


@dataclass(frozen=True)
class MotionTrainingConfig:
    """shares: of main speaker's clips, other speakers' clips, synthetic speech, wordless sounds and recordings without
    words in a batch.

    The weights are those of the terms of ``MotionLoss``. main_speaker: how the names of their clips begin.
    """

    batch_size: Annotated[int, Gt(0)] = 16
    frames: Annotated[int, Gt(0)] = 75
    shares: tuple[float, float, float, float, float] = (0.3, 0.1, 0.4, 0.08, 0.12)
    main_speaker: str = "s1_"
    velocity: float = 1.0
    aperture: float = 1.0
    closure: float = 20.0
    phones: float = 0.3
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class MotionLoss:
    """Squared errors of the coefficients and their velocities in units of each one's spread, of the lips' aperture, of
    lips that should meet (p, b, m) and do not, and the cross-entropy of the phones.

    spread: (K,) standard deviations of the coefficients. basis: gives the aperture that coefficients mean.
    """

    def __init__(self, spread: Tensor, basis: FaceBasis, config: MotionTrainingConfig) -> None:
        self.spread, self.config = spread, config
        self.opening = BOTH_SIDES.T @ basis.aperture  # (K,)
        self.aperture_spread = (spread * self.opening).norm()
        self.closures = torch.tensor(BILABIALS)

    def __call__(self, net: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        found, logits = net(batch["features"])
        error = found.float() - batch["motion"]
        opened = (error @ self.opening) / self.aperture_spread  # (B, F)
        closed = torch.isin(batch["phones"], self.closures)
        terms = {
            "coefficients": (error / self.spread).square().mean(),
            "velocity": (error.diff(dim=1) / self.spread).square().mean(),
            "aperture": (opened.square() + opened.diff(dim=1, append=opened[:, -1:]).square()).mean(),
            "closure": (opened.clamp(min=0).square() * closed).mean(),
            "phones": F.cross_entropy(logits.float().flatten(0, 1), batch["phones"].flatten()),
        }
        weights = {"coefficients": 1.0, "velocity": self.config.velocity, "aperture": self.config.aperture}
        weights |= {"closure": self.config.closure, "phones": self.config.phones}
        return {"loss": sum(weights[name] * term for name, term in terms.items()), **terms}


@dataclass(frozen=True)
class Sources:
    """Where the data lie. clips: videos; tracks and phones: folders with a track file and a phone file for each;
    synthetic: sound files with a phone file beside each. wordless: sounds in which nobody speaks."""

    clips: tuple[Path, ...]
    tracks: Path
    phones: Path
    synthetic: tuple[Path, ...]
    wordless: tuple[Path, ...] = ()


def gather(
    sources: Sources, basis: FaceBasis, config: PortraitTalkConfig, training: MotionTrainingConfig
) -> list[list[Utterance]]:
    """The groups of ``training.shares``. The articulator lends the synthetic speech its motion."""
    generator = torch.Generator().manual_seed(training.seed)
    main: list[Utterance] = []
    others: list[Utterance] = []
    spoken = []
    for clip in sources.clips:
        phones = read_phones(sources.phones / f"{clip.stem}.phones")
        motion = filmed_motion(_track_of(clip, sources.tracks), phones, basis)
        if motion is None:
            log.warning("Left out %s: in some of its frames no face is found.", clip.name)
            continue
        spoken.append((phones, motion))
        group = main if clip.stem.startswith(training.main_speaker) else others
        group.append(load_utterance(clip, phones, motion, config.speech))
    articulator = train_articulator(spoken, generator)
    synthetic = []
    for sound in sources.synthetic:
        phones = read_phones(sound.with_suffix(".phones"))
        audio = read_audio(sound)
        motion = articulator.articulate(phones, frame_count(audio.samples, audio.sample_rate, MOTION_FPS), basis)
        synthetic.append(load_utterance(sound, phones, motion, config.speech))
    recorded = [unspoken(spectrum(read_audio(sound), config.speech)) for sound in sources.wordless]
    return [main, others, synthetic, wordless(150, config.speech, generator), recorded]


def _track_of(clip: Path, tracks: Path) -> Path:
    return tracks / f"{clip.stem}.safetensors"


def filmed_motion(track: Path, phones: list[Phone], basis: FaceBasis) -> Tensor | None:
    """A track file and what is spoken in it -> coefficients (F, K) at 25 frames a second; None without a face."""
    seen = read_spoken_track(track)
    if seen is None:
        return None
    landmarks, blendshapes = seen
    silent = phone_labels(phones, len(landmarks), MOTION_FPS) == PHONE_INDEX[SILENCE_PHONE]
    return fit_coefficients(landmarks, blendshapes, at_rest(landmarks, silent), basis)


@torch.no_grad()
def validate(
    net: MotionNet, clips: Iterable[Path], tracks: Path, basis: FaceBasis, config: PortraitTalkConfig
) -> float:
    """Logs how well the lips' aperture follows that of filmed people never trained on; returns the mean correlation."""
    found = []
    for clip in clips:
        seen = read_spoken_track(_track_of(clip, tracks))
        if seen is None:
            continue
        measured = lip_aperture(seen[0])
        expression, _ = net.expression(encode_speech(read_audio(clip), MOTION_FPS, config.speech).features)
        asked = basis.asked_aperture(expression)
        count = min(len(measured), len(asked))
        lags = {lag: correlation(asked[:count], measured[:count], lag) for lag in range(-LARGEST_LAG, LARGEST_LAG + 1)}
        best = max(lags, key=lambda lag: lags[lag])
        found.append(lags[0])
        ratio = (asked.std() / measured.std()).item()
        log.info(
            "%s: correlation %.3f, best %.3f at lag %d, amplitude %.2f", clip.stem, lags[0], lags[best], best, ratio
        )
    mean = sum(found) / len(found)
    log.info("mean correlation of the aperture %.3f", mean)
    return mean


def correlation(a: Tensor, b: Tensor, lag: int = 0) -> float:
    """Pearson correlation of two curves (F,), ``b`` being ``lag`` frames later than ``a``."""
    a, b = a[max(-lag, 0) : len(a) - max(lag, 0)], b[max(lag, 0) : len(b) - max(-lag, 0)]
    return torch.corrcoef(torch.stack((a, b)))[0, 1].item()


def train(
    sources: Sources,
    validation: tuple[Path, ...],
    basis: FaceBasis,
    out: Path,
    config: PortraitTalkConfig = MINI,
    training: MotionTrainingConfig = MotionTrainingConfig(),
    start: Path | None = None,
) -> MotionNet:
    """Trains on ``sources`` and writes ``out/weights.safetensors``; a run that was stopped goes on where it was.

    It begins with the weights in ``start``, if there are any.
    """
    from accelerate import PartialState

    prepared = out / "utterances.safetensors"
    with PartialState(cpu=not torch.accelerator.is_available()).main_process_first():
        if not prepared.exists():
            out.mkdir(parents=True, exist_ok=True)
            save_groups(prepared, gather(sources, basis, config, training))
    groups = load_groups(prepared, len(training.shares))
    told = "utterances: %d of the main speaker, %d of others, %d synthetic; %d sounds and %d recordings without words"
    log.info(told, *map(len, groups))
    filmed = torch.cat([utterance.motion for group in groups[:2] for utterance in group])
    torch.manual_seed(training.seed)
    net = MotionNet(config)
    if start is not None:
        net.load_state_dict(load_file(start))
    else:
        net.spread.copy_(filmed.std(0) + SMALLEST_SPREAD)
    net.usual_levels.copy_(usual_levels([one for group in groups[:3] for one in group]))
    loss = MotionLoss(net.spread.clone(), basis, training)
    shares = [(share, group) for share, group in zip(training.shares, groups, strict=True) if group]
    draw = batches(shares, config.speech, training.batch_size, training.frames, backgrounds=groups[4])

    def check(average: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(average, MotionNet)
        mean = validate(average, validation, sources.tracks, basis, config)
        return {"aperture_correlation": torch.tensor(mean)}

    average = fit(net, draw, loss, training.trainer, out, training.seed, check if validation else None)
    assert isinstance(average, MotionNet)
    return average
