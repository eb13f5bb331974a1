"""Mel spectrogram with ``torch.stft``: band powers relative to full scale, computed in chunks."""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from ..config import SpeechConfig
from ..media.resample import resample
from ..media.sound import Sound, windows

WINDOW_SECONDS = 0.025
FFT_SIZE = 512
CHUNK_SECONDS = 30
MARGIN_SECONDS = 1

# The mel scale of Slaney's Auditory Toolbox: linear up to 1 kHz, then 27 steps per factor of 6.4.
LINEAR_HZ = 200.0 / 3
BREAK_HZ = 1000.0
LOG_STEP = math.log(6.4) / 27


def hz_to_mel(hz: Tensor) -> Tensor:
    """Convert frequencies in Hz to Slaney mel, elementwise."""
    curve = BREAK_HZ / LINEAR_HZ + (hz.clamp(min=BREAK_HZ) / BREAK_HZ).log() / LOG_STEP
    return torch.where(hz < BREAK_HZ, hz / LINEAR_HZ, curve)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Convert Slaney mel to frequencies in Hz, elementwise."""
    knee = BREAK_HZ / LINEAR_HZ
    return torch.where(mel < knee, mel * LINEAR_HZ, BREAK_HZ * ((mel - knee) * LOG_STEP).exp())


@lru_cache(maxsize=8)
def mel_filters(bands: int, sample_rate: int, fft_size: int = FFT_SIZE) -> Tensor:
    """Return triangular filters (bands, fft_size // 2 + 1), evenly spaced in mel from 0 Hz to half the sample rate.

    Each peaks at 1 where its neighbours reach 0, so that the band powers add up to the power of the spectrum.
    """
    nyquist = torch.tensor(sample_rate / 2, dtype=torch.float64)
    edges = mel_to_hz(torch.linspace(0, 1, bands + 2, dtype=torch.float64) * hz_to_mel(nyquist))
    frequencies = torch.linspace(0, 1, fft_size // 2 + 1, dtype=torch.float64) * nyquist
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


def mel_power(sound: Tensor, config: SpeechConfig) -> Tensor:
    """Return the power per mel band (ceil(T / hop), dim) of audio (T,) at ``config.sample_rate``.

    A full-scale square wave has power 1. Frame j has a 25 ms Hann window centred on hop j, at ``(j + 0.5) * hop``
    samples, with zero padding at the ends.
    """
    count = -(-sound.shape[0] // config.hop)
    before = (FFT_SIZE - config.hop) // 2
    after = (count - 1) * config.hop + FFT_SIZE - before - sound.shape[0]
    padded = torch.nn.functional.pad(sound, (before, after))
    window = torch.hann_window(round(WINDOW_SECONDS * config.sample_rate))
    spectrum = torch.stft(
        padded, FFT_SIZE, config.hop, window.shape[0], window, center=False, return_complex=True
    )  # (FFT_SIZE / 2 + 1, count)
    power = spectrum.abs().square() * (2 / (FFT_SIZE * window.square().sum()))  # Parseval, both halves of the spectrum
    return (mel_filters(config.dim, config.sample_rate) @ power).T


def mel_chunks(audio: Sound, config: SpeechConfig) -> Iterator[Tensor]:
    """Yield the ``mel_power`` of audio of any sample rate and channels in chunks (n, dim) of 30 s, to limit memory.

    They are computed with a margin of a second at both ends, so that together they equal the spectrogram of the whole,
    (``mel_frames``, dim).
    """
    hops_per_second = config.sample_rate // config.hop
    for window, before in windows(audio, CHUNK_SECONDS, MARGIN_SECONDS):
        mono = (audio.downmix @ window)[None]
        power = mel_power(resample(mono, audio.sample_rate, config.sample_rate)[0], config)
        skip = before * hops_per_second
        yield power[skip : skip + CHUNK_SECONDS * hops_per_second]


def mel_frames(audio: Sound, config: SpeechConfig) -> int:
    """Return the number of frames in the spectrogram of ``audio``."""
    resampled = -(-audio.samples * config.sample_rate // audio.sample_rate)
    return -(-resampled // config.hop)
