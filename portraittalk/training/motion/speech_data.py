"""Training data of the motion network at 100 spectra per second: utterances, generated non-speech sounds, batches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Generator, Tensor

from ...config import SpeechConfig
from ...media.audio import Audio, read_audio
from ...metrics.naturalness import loudness, silences
from ...models.motion_net import MOTION_FPS, SPOKEN_NAMES
from ...speech.features import level_gain, log_mel, patches, speech_in
from ...speech.mel import mel_chunks
from ...speech.phones import PHONE_INDEX, SILENCE_PHONE, Phone, phone_labels
from ...tensor_files import write_tensors
from ..data.clips import one_of
from ..trainer import Batch, Draw, stacked
from .augment import augment, decibels, noise, uniform

SPEEDS = (0.8, 1.25)
BEHIND, BEHIND_DB = 0.15, (5, 30)  # probability of a background sound, and range of its attenuation
NOTE_SECONDS = 0.25
UNKNOWN = -1  # label of a phone of which it is only known that it is not silence
WORDLESS_SECONDS = 6


@dataclass(frozen=True)
class Utterance:
    """A labelled sound. power: (J, bands) mel powers. phones: (J,) indices into PHONES, or UNKNOWN. motion: (J, K)
    coefficients of SPOKEN_NAMES, NaN where they are not known. gain: ``level_gain`` of the power."""

    power: Tensor
    phones: Tensor
    motion: Tensor
    gain: float


def load_utterance(sound: Path, phones: list[Phone] | None, motion: Tensor, config: SpeechConfig) -> Utterance:
    """Load a sound file with its phones and motion (F, K) at 25 fps. Unknown phones are told from silence alone."""
    audio, rate = read_audio(sound), config.sample_rate / config.hop
    power = spectrum(audio, config)
    if phones is None:
        silent, _ = silences(loudness(audio, len(power), rate), rate)
        labels = torch.where(silent, PHONE_INDEX[SILENCE_PHONE], UNKNOWN)
    else:
        labels = phone_labels(phones, len(power), rate)
    return Utterance(power, labels, to_spectra(motion, len(power), config), level_gain(power))


def save_groups(path: Path, groups: Sequence[Sequence[Utterance]]) -> None:
    """Save groups of utterances in one safetensors file, so that they are prepared only once."""
    tensors: dict[str, Tensor] = {}
    for index, group in enumerate(groups):
        for number, utterance in enumerate(group):
            key = f"{index}.{number:05d}"
            tensors |= {
                f"{key}.power": utterance.power,
                f"{key}.phones": utterance.phones,
                f"{key}.motion": utterance.motion,
            }
    write_tensors(path, tensors)


def load_groups(path: Path, count: int) -> list[list[Utterance]]:
    """Load the ``count`` groups written by ``save_groups``; some may be empty."""
    tensors = load_file(path)
    keys = sorted({name.rsplit(".", 1)[0] for name in tensors})
    groups: list[list[Utterance]] = [[] for _ in range(count)]
    for key in keys:
        power = tensors[f"{key}.power"]
        utterance = Utterance(power, tensors[f"{key}.phones"], tensors[f"{key}.motion"], level_gain(power))
        groups[int(key.split(".")[0])].append(utterance)
    return groups


def spectrum(audio: Audio, config: SpeechConfig) -> Tensor:
    return torch.cat(list(mel_chunks(audio, config)))


def usual_levels(utterances: Sequence[Utterance]) -> Tensor:
    """Return the mean (bands,) of each band over all speech, in the unit of features."""
    found = [speech_in(log_mel(one.power, one.gain)) for one in utterances]
    total, count = (torch.stack(parts).sum(0) for parts in zip(*found, strict=True))
    return total / count.clamp_min(1)


def to_spectra(motion: Tensor, count: int, config: SpeechConfig) -> Tensor:
    """Resample motion (F, K) at 25 fps to the times of the spectra: (count, K)."""
    times = (torch.arange(count) + 0.5) * config.hop / config.sample_rate * MOTION_FPS - 0.5
    times = times.clamp(0, len(motion) - 1)
    below = times.floor().long().clamp(max=max(len(motion) - 2, 0))
    share = (times - below)[:, None]
    return motion[below] * (1 - share) + motion[(below + 1).clamp(max=len(motion) - 1)] * share


def at_frames(motion: Tensor, config: SpeechConfig) -> Tensor:
    """Resample motion (J, K) at the times of the spectra to 25 fps: (F, K), the inverse of ``to_spectra``."""
    per_frame = config.sample_rate / config.hop / MOTION_FPS
    # The centre of a frame lies between two spectra.
    centres = ((torch.arange(int(len(motion) / per_frame)) + 0.5) * per_frame).long()
    return (motion[centres] + motion[centres - 1]) / 2


def music(seconds: float, sample_rate: int, generator: Generator) -> Audio:
    """Generate chords of random plucked notes with a beat: loud and rhythmic, but without speech."""
    note = round(NOTE_SECONDS * sample_rate)
    time, harmonics = torch.arange(note) / sample_rate, torch.arange(1, 8)[:, None]
    pieces = []
    for beat in range(math.ceil(seconds / NOTE_SECONDS)):
        pitches = 110 * 2 ** (torch.randint(0, 36, (3, 1, 1), generator=generator) / 12)
        tone = (torch.sin(2 * math.pi * pitches * harmonics * time) / harmonics**1.5).sum((0, 1))
        piece = tone * torch.exp(-uniform(1, 8, generator) * time)
        if beat % 4 == 0:
            piece = piece + 2 * torch.randn(note, generator=generator) * torch.exp(-40 * time)
        pieces.append(0.05 * piece)
    return Audio(torch.cat(pieces)[None], sample_rate)


def beeps(seconds: float, sample_rate: int, generator: Generator) -> Audio:
    """Generate tones at the pace of syllables with voice-like pitch glides, like alarms, telephones and birds."""
    pieces, remaining = [], seconds
    while remaining > 0:
        duration = uniform(0.05, 0.6, generator)
        time = torch.arange(round(duration * sample_rate)) / sample_rate
        hz = math.exp(uniform(math.log(150), math.log(3500), generator))
        slide, swing = uniform(-0.8, 0.8, generator), uniform(0, 0.05, generator)
        pitch = hz * torch.exp(
            slide * time / duration + swing * torch.sin(2 * math.pi * uniform(3, 20, generator) * time)
        )
        phase = 2 * math.pi * pitch.cumsum(0) / sample_rate
        overtones = uniform(0, 1, generator) ** torch.arange(5)
        tone = sum(weight * torch.sin((order + 1) * phase) for order, weight in enumerate(overtones.tolist()))
        pieces.append(0.1 * tone * torch.sin(math.pi * time / duration) ** 0.3)
        pieces.append(torch.zeros(round(uniform(0, 0.5, generator) * sample_rate)))
        remaining -= duration + len(pieces[-1]) / sample_rate
    return Audio(torch.cat(pieces)[None, : round(seconds * sample_rate)], sample_rate)


def bursts(frames: int, bands: int, level: float, generator: Generator) -> Tensor:
    """Generate bursts of noise (frames, bands) with a random spectrum, like clapping, steps, waves and machines."""
    interval = uniform(3, 40, generator)
    knots = torch.randn(1, 1, max(2, round(frames / interval)), generator=generator) * uniform(4, 15, generator)
    swell = F.interpolate(knots, size=frames, mode="linear", align_corners=True)[0, 0]
    return noise((frames, bands), level, generator) * decibels(swell)[:, None]


def wordless(count: int, config: SpeechConfig, generator: Generator) -> list[Utterance]:
    """Generate 6 s each of silence, hiss, coloured noise, music, beeps and bursts in turn, with the lips at rest."""
    samples, rate = WORDLESS_SECONDS * config.sample_rate, config.sample_rate
    frames = samples // config.hop
    utterances = []
    for index in range(count):
        level, kind = 10 ** -uniform(1, 7, generator), index % 6
        if kind == 0:
            power = torch.zeros(frames, config.dim)
        elif kind == 1:
            hiss = math.sqrt(level) * torch.randn(1, samples, generator=generator)
            power = spectrum(Audio(hiss, rate), config)
        elif kind == 2:
            power = noise((frames, config.dim), level, generator)
        elif kind == 3:
            power = spectrum(music(WORDLESS_SECONDS, rate, generator), config)
        elif kind == 4:
            power = spectrum(beeps(WORDLESS_SECONDS, rate, generator), config)
        else:
            power = bursts(frames, config.dim, level, generator)
        utterances.append(unspoken(power))
    return utterances


def unspoken(power: Tensor) -> Utterance:
    """Label a sound (J, bands) as containing no speech, with the lips at rest."""
    phones = torch.full((len(power),), PHONE_INDEX[SILENCE_PHONE])
    return Utterance(power, phones, torch.zeros(len(power), len(SPOKEN_NAMES)), level_gain(power))


def batches(
    groups: Sequence[tuple[float, Sequence[Utterance]]],
    config: SpeechConfig,
    batch_size: int,
    frames: int,
    backgrounds: Sequence[Utterance] = (),
) -> Draw:
    """Return a function that draws augmented batches of ``features`` (B, F, W, M), ``motion`` (B, F, K) and ``phones``
    (B, F).

    groups: (share of the samples, utterances). backgrounds: sounds that may be mixed in.
    """
    shares = torch.tensor([share for share, _ in groups])

    def draw(generator: Generator) -> Batch:
        chosen = torch.multinomial(shares, batch_size, replacement=True, generator=generator).tolist()
        picked = (one_of(groups[group][1], generator) for group in chosen)
        return stacked(sample(utterance, config, frames, generator, backgrounds) for utterance in picked)

    return draw


def sample(
    utterance: Utterance,
    config: SpeechConfig,
    frames: int,
    generator: Generator,
    backgrounds: Sequence[Utterance] = (),
) -> dict[str, Tensor]:
    """Return a random window of ``frames`` frames at a random speed, silent where it extends beyond the utterance.

    With probability ``BEHIND`` one of the ``backgrounds`` is mixed in.
    """
    per_frame = config.sample_rate / config.hop / MOTION_FPS
    count = round(frames * per_frame)
    speed = math.exp(uniform(math.log(SPEEDS[0]), math.log(SPEEDS[1]), generator))
    length = len(utterance.power)
    slack = 0.25 * count
    start = uniform(-slack, max(length - speed * count, 0) + slack, generator)
    positions = start + torch.arange(count) * speed
    inside = (positions > 0) & (positions < length - 1)
    lower = positions.floor().long().clamp(0, length - 2)
    fraction = (positions - lower).clamp(0, 1)[:, None]

    def stretch(values: Tensor) -> Tensor:
        return values[lower] * (1 - fraction) + values[lower + 1] * fraction

    power = stretch(utterance.power) * inside[:, None]
    if backgrounds and uniform(0, 1, generator) < BEHIND:
        background = one_of(backgrounds, generator)
        attenuation = 10 ** (-uniform(*BEHIND_DB, generator) / 10) * background.gain / utterance.gain
        first = int(uniform(0, max(len(background.power) - count, 0), generator))
        mixed_in = background.power[first : first + count]
        power[: len(mixed_in)] += attenuation * mixed_in
    power = augment(power, 10**-2.3 / utterance.gain, config.sample_rate, generator)
    frame_centres = ((torch.arange(frames) + 0.5) * per_frame).long()
    nearest = positions.round().long().clamp(0, length - 1)[frame_centres]
    phones = torch.where(inside[frame_centres], utterance.phones[nearest], PHONE_INDEX[SILENCE_PHONE])
    stretched = stretch(utterance.motion) * inside[:, None]
    # The centre of a frame lies between two spectra.
    motion = (stretched[frame_centres] + stretched[frame_centres - 1]) / 2
    features = patches(log_mel(power, utterance.gain), frames, MOTION_FPS, config)
    return {"features": features, "motion": motion, "phones": phones}
