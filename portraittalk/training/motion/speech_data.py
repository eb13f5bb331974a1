"""The speech that the motion network learns from, at 100 spectra a second: filmed, synthetic, and none at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor

from ...config import SpeechConfig
from ...media.audio import Audio, read_audio
from ...models.motion_net import MOTION_FPS, SPOKEN_NAMES
from ...speech.features import level_gain, log_mel, patches, speech_in
from ...speech.mel import mel_chunks
from ...speech.phones import PHONE_INDEX, SILENCE_PHONE, Phone, phone_labels
from ..data.clips import one_of
from ..trainer import Batch, Draw, stacked
from .augment import augment, decibels, noise, uniform

SPEEDS = (0.8, 1.25)
BEHIND, BEHIND_DB = 0.15, (5, 30)  # how often there is something behind the speech, and by how much it is quieter
NOTE_SECONDS = 0.25
WORDLESS_SECONDS = 6


@dataclass(frozen=True)
class Utterance:
    """power: (J, bands) mel powers. phones: (J,) indices into PHONES. motion: (J, K) coefficients of SPOKEN_NAMES.
    gain: what ``level_gain`` gives for the power."""

    power: Tensor
    phones: Tensor
    motion: Tensor
    gain: float


def load_utterance(sound: Path, phones: list[Phone], motion: Tensor, config: SpeechConfig) -> Utterance:
    """A sound file, what is spoken in it, and the motion (F, K) at 25 frames a second."""
    power = spectrum(read_audio(sound), config)
    labels = phone_labels(phones, len(power), config.sample_rate / config.hop)
    return Utterance(power, labels, to_spectra(motion, len(power), config), level_gain(power))


def save_groups(path: Path, groups: Sequence[Sequence[Utterance]]) -> None:
    """Groups of utterances in one safetensors file, so that they need to be prepared only once."""
    tensors: dict[str, Tensor] = {}
    for index, group in enumerate(groups):
        for number, one in enumerate(group):
            key = f"{index}.{number:05d}"
            tensors |= {f"{key}.power": one.power, f"{key}.phones": one.phones, f"{key}.motion": one.motion}
    part = path.with_suffix(".part")
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, part)
    part.replace(path)


def load_groups(path: Path, count: int) -> list[list[Utterance]]:
    """What ``save_groups`` wrote of ``count`` groups, of which some may be empty."""
    tensors = load_file(path)
    keys = sorted({name.rsplit(".", 1)[0] for name in tensors})
    groups: list[list[Utterance]] = [[] for _ in range(count)]
    for key in keys:
        power = tensors[f"{key}.power"]
        one = Utterance(power, tensors[f"{key}.phones"], tensors[f"{key}.motion"], level_gain(power))
        groups[int(key.split(".")[0])].append(one)
    return groups


def spectrum(audio: Audio, config: SpeechConfig) -> Tensor:
    return torch.cat(list(mel_chunks(audio, config)))


def usual_levels(utterances: Sequence[Utterance]) -> Tensor:
    """(bands,) the mean of each band, in the unit of features, over all the speech there is."""
    found = [speech_in(log_mel(one.power, one.gain)) for one in utterances]
    total, count = (torch.stack(parts).sum(0) for parts in zip(*found, strict=True))
    return total / count.clamp_min(1)


def to_spectra(motion: Tensor, count: int, config: SpeechConfig) -> Tensor:
    """Motion (F, K) at 25 frames a second -> (count, K) at the times of the spectra."""
    times = (torch.arange(count) + 0.5) * config.hop / config.sample_rate * MOTION_FPS - 0.5
    times = times.clamp(0, len(motion) - 1)
    below = times.floor().long().clamp(max=max(len(motion) - 2, 0))
    share = (times - below)[:, None]
    return motion[below] * (1 - share) + motion[(below + 1).clamp(max=len(motion) - 1)] * share


def music(seconds: float, sample_rate: int, generator: Generator) -> Audio:
    """Chords of plucked notes on a random scale, with a beat: something loud and lively that moves no lips."""
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
    """Tones that come and go at the pace of syllables and slide as a voice does: alarms, telephones, birds."""
    pieces, left = [], seconds
    while left > 0:
        lasts = uniform(0.05, 0.6, generator)
        time = torch.arange(round(lasts * sample_rate)) / sample_rate
        hz = math.exp(uniform(math.log(150), math.log(3500), generator))
        slide, swing = uniform(-0.8, 0.8, generator), uniform(0, 0.05, generator)
        pitch = hz * torch.exp(slide * time / lasts + swing * torch.sin(2 * math.pi * uniform(3, 20, generator) * time))
        phase = 2 * math.pi * pitch.cumsum(0) / sample_rate
        overtones = uniform(0, 1, generator) ** torch.arange(5)
        tone = sum(weight * torch.sin((order + 1) * phase) for order, weight in enumerate(overtones.tolist()))
        pieces.append(0.1 * tone * torch.sin(math.pi * time / lasts) ** 0.3)
        pieces.append(torch.zeros(round(uniform(0, 0.5, generator) * sample_rate)))
        left -= lasts + len(pieces[-1]) / sample_rate
    return Audio(torch.cat(pieces)[None, : round(seconds * sample_rate)], sample_rate)


def bursts(frames: int, bands: int, level: float, generator: Generator) -> Tensor:
    """Noise (frames, bands) of a random colour in bursts: clapping, steps, waves, machines."""
    every = uniform(3, 40, generator)
    knots = torch.randn(1, 1, max(2, round(frames / every)), generator=generator) * uniform(4, 15, generator)
    swell = F.interpolate(knots, size=frames, mode="linear", align_corners=True)[0, 0]
    return noise((frames, bands), level, generator) * decibels(swell)[:, None]


def wordless(count: int, config: SpeechConfig, generator: Generator) -> list[Utterance]:
    """Silence, hiss, coloured noise, music, beeps and bursts of 6 s, in turn: the lips are at rest."""
    samples, rate = WORDLESS_SECONDS * config.sample_rate, config.sample_rate
    frames = samples // config.hop
    found = []
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
        found.append(unspoken(power))
    return found


def unspoken(power: Tensor) -> Utterance:
    """A sound (J, bands) in which nobody speaks."""
    phones = torch.full((len(power),), PHONE_INDEX[SILENCE_PHONE])
    return Utterance(power, phones, torch.zeros(len(power), len(SPOKEN_NAMES)), level_gain(power))


def batches(
    groups: Sequence[tuple[float, Sequence[Utterance]]],
    config: SpeechConfig,
    batch_size: int,
    frames: int,
    backgrounds: Sequence[Utterance] = (),
) -> Draw:
    """Draws augmented batches. groups: (share of the samples, utterances). backgrounds: what may be heard beside them.

    Each has ``features`` (B, F, W, M), ``motion`` (B, F, K) and ``phones`` (B, F).
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
    """A random stretch of ``frames`` frames at a random speed, with silence where it reaches beyond the utterance.

    One of the ``backgrounds`` is heard with it now and then.
    """
    per_frame = config.sample_rate / config.hop / MOTION_FPS
    count = round(frames * per_frame)
    speed = math.exp(uniform(math.log(SPEEDS[0]), math.log(SPEEDS[1]), generator))
    length = len(utterance.power)
    slack = 0.25 * count
    start = uniform(-slack, max(length - speed * count, 0) + slack, generator)
    places = start + torch.arange(count) * speed
    inside = (places > 0) & (places < length - 1)
    below = places.floor().long().clamp(0, length - 2)
    share = (places - below).clamp(0, 1)[:, None]

    def stretch(values: Tensor) -> Tensor:
        return values[below] * (1 - share) + values[below + 1] * share

    power = stretch(utterance.power) * inside[:, None]
    if backgrounds and uniform(0, 1, generator) < BEHIND:
        beside = one_of(backgrounds, generator)
        quieter = 10 ** (-uniform(*BEHIND_DB, generator) / 10) * beside.gain / utterance.gain
        first = int(uniform(0, max(len(beside.power) - count, 0), generator))
        heard = beside.power[first : first + count]
        power[: len(heard)] += quieter * heard
    power = augment(power, 10**-2.3 / utterance.gain, config.sample_rate, generator)
    middles = ((torch.arange(frames) + 0.5) * per_frame).long()
    nearest = places.round().long().clamp(0, length - 1)[middles]
    phones = torch.where(inside[middles], utterance.phones[nearest], PHONE_INDEX[SILENCE_PHONE])
    moved = stretch(utterance.motion) * inside[:, None]
    motion = (moved[middles] + moved[middles - 1]) / 2  # a frame's middle lies between two spectra
    features = patches(log_mel(power, utterance.gain), frames, MOTION_FPS, config)
    return {"features": features, "motion": motion, "phones": phones}
