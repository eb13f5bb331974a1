"""Training of the motion network.

Videos and motion capture provide real motion. Synthetic speech adds voices and phones, with motion from the
articulator, which is trained on the recordings whose phones are known. Silence, noise and music train the lips to rest.
"""

import logging
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Generator, Tensor, nn

from ...config import MINI, PortraitTalkConfig
from ...errors import MediaError, SettingsError
from ...media.audio import frame_count, read_audio
from ...models.face_basis import FaceBasis
from ...models.motion_net import BILABIALS, BOTH_SIDES, MOTION_FPS, MotionNet
from ...output_files import make_folder
from ...speech.phones import SILENT, Phone, read_phones
from ...tensor_files import check_tensors, read_tensors, write_tensors
from ..trainer import Batch, TrainerConfig, fit
from .amplitude import calibrate
from .articulation import train_articulator
from .held_out import held_out_figures
from .recordings import Recording, captured, filmed, require_speakers
from .speech_data import (
    UNKNOWN,
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

log = logging.getLogger(__name__)

SMALLEST_SPREAD = 0.01  # added to each coefficient's spread: otherwise nearly constant ones would dominate the loss


@dataclass(frozen=True)
class MotionTrainingConfig:
    """shares: fractions of a batch from the main speaker's videos, other speakers' videos, synthetic speech, generated
    sounds without speech, recordings without speech, and motion capture. Those that there are none of are left out.

    main_speaker: name prefix of the main speaker's videos. velocity, aperture, closure, phones: weights of the terms of
    ``MotionLoss``.
    """

    batch_size: Annotated[int, Gt(0)] = 16
    frames: Annotated[int, Gt(0)] = 75
    shares: tuple[float, float, float, float, float, float] = (0.3, 0.1, 0.4, 0.08, 0.12, 0.15)
    main_speaker: str = "s1_"
    velocity: float = 1.0
    aperture: float = 1.0
    closure: float = 20.0
    phones: float = 0.3
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class MotionLoss:
    """Loss of the motion network: squared errors of the coefficients and their velocities relative to their spread, of
    the lip aperture, and of open lips on p, b and m, plus the cross-entropy of the phones.

    spread: (K,) standard deviations of the coefficients. basis: maps coefficients to the lip aperture.
    """

    def __init__(self, spread: Tensor, basis: FaceBasis, config: MotionTrainingConfig) -> None:
        self.spread, self.config = spread, config
        self.opening = BOTH_SIDES.T @ basis.aperture  # (K,)
        self.aperture_spread = (spread * self.opening).norm()
        self.closures = torch.tensor(BILABIALS)

    def __call__(self, net: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        predicted, logits = net(batch["features"])
        error = predicted.float() - batch["motion"]
        error = torch.where(batch["motion"].isnan(), 0.0, error)  # not captured
        gap_error = (error @ self.opening) / self.aperture_spread  # (B, F)
        is_bilabial = torch.isin(batch["phones"], self.closures)
        terms = {
            "coefficients": (error / self.spread).square().mean(),
            "velocity": (error.diff(dim=1) / self.spread).square().mean(),
            "aperture": (gap_error.square() + gap_error.diff(dim=1, append=gap_error[:, -1:]).square()).mean(),
            "closure": (gap_error.clamp(min=0).square() * is_bilabial).mean(),
            "phones": phone_loss(logits.float().flatten(0, 1), batch["phones"].flatten()),
        }
        weights = {"coefficients": 1.0, "velocity": self.config.velocity, "aperture": self.config.aperture}
        weights |= {"closure": self.config.closure, "phones": self.config.phones}
        return {"loss": sum(weights[name] * term for name, term in terms.items()), **terms}


def phone_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of phones (N,); of an UNKNOWN one it is only known that it is not silence."""
    chances = logits.log_softmax(1)
    known = chances.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    speaks = chances[:, [index for index in range(chances.shape[1]) if index != SILENT]].logsumexp(1)
    return -torch.where(labels == UNKNOWN, speaks, known).mean()


@dataclass(frozen=True)
class Sources:
    """Paths of the training data. clips: videos. tracks, phones: folders with a track file, and a phone file where the
    phones are known, for each. synthetic: sound files with a phone file beside each. wordless: sounds without speech.
    mocap: motion capture, each with its sound beside it; phone files are in ``phones`` too."""

    clips: tuple[Path, ...]
    tracks: Path | None
    phones: Path | None
    synthetic: tuple[Path, ...]
    wordless: tuple[Path, ...] = ()
    mocap: tuple[Path, ...] = ()

    def recordings(self, basis: FaceBasis) -> tuple[list[Recording], list[Recording]]:
        """Return the recordings of the videos, without those that cannot be used, and of the motion capture."""
        videos = [
            filmed(clip, _folder(self.tracks) / f"{clip.stem}.safetensors", self._phones_of(clip), basis)
            for clip in self.clips
        ]
        takes = [captured(file, self._phones_of(file), basis) for file in self.mocap]
        return [video for video in videos if video is not None], takes

    def _phones_of(self, file: Path) -> Path | None:
        path = None if self.phones is None else self.phones / f"{file.stem}.phones"
        return path if path is not None and path.is_file() else None


def _folder(tracks: Path | None) -> Path:
    if tracks is None:
        raise SettingsError("Videos are trained on with their tracks: give --tracks, the folder of `train tracks`.")
    return tracks


def gather(
    sources: Sources, basis: FaceBasis, config: PortraitTalkConfig, training: MotionTrainingConfig
) -> list[list[Utterance]]:
    """Load the groups of ``training.shares``; the motion of synthetic speech is generated by the articulator."""
    generator = torch.Generator().manual_seed(training.seed)
    videos, takes = sources.recordings(basis)
    require_speakers([*videos, *takes])

    def load(recordings: list[Recording]) -> list[Utterance]:
        return [load_utterance(one.sound, one.phones, one.motion, config.speech) for one in recordings]

    synthetic = []
    if sources.synthetic:
        articulator = train_articulator(_articulated([*videos, *takes]), generator)
        for sound in sources.synthetic:
            phones = read_phones(sound.with_suffix(".phones"))
            audio = read_audio(sound)
            motion = articulator.articulate(phones, frame_count(audio.samples, audio.sample_rate, MOTION_FPS), basis)
            synthetic.append(load_utterance(sound, phones, motion, config.speech))
    main = [video.name.startswith(training.main_speaker) for video in videos]
    return [
        load([video for video, is_main in zip(videos, main, strict=True) if is_main]),
        load([video for video, is_main in zip(videos, main, strict=True) if not is_main]),
        synthetic,
        wordless(150, config.speech, generator),
        [unspoken(spectrum(read_audio(sound), config.speech)) for sound in sources.wordless],
        load(takes),
    ]


def _articulated(recordings: list[Recording]) -> list[tuple[list[Phone], Tensor]]:
    """Return phones and motion of the recordings that the articulator can learn from. Raises MediaError if none can."""
    known = [(one.phones, one.motion) for one in recordings if one.phones is not None and one.motion.isfinite().all()]
    if not known:
        raise MediaError(
            "Synthetic speech is articulated as the speakers do it, and no recording has a phone file: align one, or "
            "leave the synthetic speech out."
        )
    return known


def train(
    sources: Sources,
    validation: Sources | None,
    basis: FaceBasis,
    out: Path,
    config: PortraitTalkConfig = MINI,
    training: MotionTrainingConfig = MotionTrainingConfig(),
    start: Path | None = None,
) -> MotionNet:
    """Train on ``sources``, from the weights in ``start`` if given, and write ``out/weights.safetensors``; interrupted
    runs resume.

    validation: recordings that are not trained on; their figures are logged at every checkpoint.
    """
    from accelerate import PartialState

    process = PartialState(cpu=not torch.accelerator.is_available())
    utterances_file = out / "utterances.safetensors"
    with process.main_process_first():
        if not utterances_file.exists():
            make_folder(out)
            save_groups(utterances_file, gather(sources, basis, config, training))
    groups = load_groups(utterances_file, len(training.shares))
    counts = map(len, groups)
    log.info("utterances: main speaker %d, others %d, synthetic %d, generated %d, wordless %d, mocap %d", *counts)
    real = [groups[0], groups[1], groups[5]]
    torch.manual_seed(training.seed)
    net = MotionNet(config)
    if start is not None:
        _load_start(net, start)
    else:
        net.spread.copy_(_spread(torch.cat([one.motion for group in real for one in group])) + SMALLEST_SPREAD)
    net.usual_levels.copy_(usual_levels([one for group in (*real, groups[2]) for one in group]))
    loss = MotionLoss(net.spread.clone(), basis, training)
    shares = [(share, group) for share, group in zip(training.shares, groups, strict=True) if group and share]
    draw = batches(shares, config.speech, training.batch_size, training.frames, backgrounds=groups[4])
    held_out = [] if validation is None else [one for kind in validation.recordings(basis) for one in kind]

    def check(average: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(average, MotionNet)
        shown = deepcopy(average).cpu()
        calibrate(shown, real, basis, config.speech)
        return held_out_figures(shown, held_out, basis, config.speech)

    average = fit(net, draw, loss, training.trainer, out, training.seed, check if held_out else None)
    assert isinstance(average, MotionNet)
    calibrate(average, real, basis, config.speech)
    if process.is_main_process:
        write_tensors(out / "weights.safetensors", average.state_dict())
    return average


def _load_start(net: MotionNet, path: Path) -> None:
    """Load the weights of another run, or the motion network of a whole model such as mini."""
    tensors = read_tensors(path)[1]
    prefix = "motion_net."
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)} or tensors
    check_tensors(net.state_dict(), own, path.name)
    net.load_state_dict(own)


def _spread(motion: Tensor) -> Tensor:
    """Return the standard deviation (K,) of coefficients (J, K) over the frames in which they are known."""
    known = ~motion.isnan()
    count = known.sum(0).clamp_min(1)
    mean = motion.nan_to_num().sum(0) / count
    return (torch.where(known, motion - mean, 0.0).square().sum(0) / count).sqrt()
