"""Whisper speech features at the video's frame rate, in the context windows that EchoMimic was trained with."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..config import SpeechConfig
from ..media.audio import frame_count
from ..media.resample import resample
from ..media.sound import Sound
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Speech
from .mel import hz_to_mel, mel_filters, mel_to_hz

MEL_BANDS = 80
SECONDS, RATE = 30, 50  # input length of the encoder in seconds, and its features per second
FFT_SIZE, HOP = 400, 160
STEPS_BEFORE, STEPS_AFTER = 4, 6  # context window in features of 20 ms


@torch.no_grad()
def encode_speech(
    audio: Sound, fps: float, encoder: nn.Module, config: SpeechConfig, progress: ProgressCallback = ignore_progress
) -> Speech:
    """Encode audio of any rate, channels and length as tokens (``config.steps``, ``config.dim``) per video frame.

    The audio is encoded in segments of 30 s. A frame's tokens are those of 10 time steps, from 80 ms before to 120 ms
    after its start, ordered by time step and then by layer; beyond the ends the first or last time step is repeated.
    The number of frames is ``frame_count(samples, sample_rate, fps)``. Reports stage "speech" for every segment.
    """
    weight = next(encoder.parameters())
    mel = log_mel(resample(audio.mono()[None], audio.sample_rate, config.sample_rate)[0], config.sample_rate)
    segments = mel.split(SECONDS * config.sample_rate // HOP, 1)
    features = []
    for number, segment in enumerate(segments):
        padded = pad(segment, (0, SECONDS * config.sample_rate // HOP - segment.shape[1]))
        features.append(encoder(padded[None].to(weight))[0, : segment.shape[1] // 2].float().cpu())
        progress(Progress("speech", number + 1, len(segments)))
    count = frame_count(audio.samples, audio.sample_rate, fps)
    return Speech(tokens(torch.cat(features), count, fps), fps, audio.seconds)


def tokens(features: Tensor, count: int, fps: float) -> Tensor:
    """Return each video frame's tokens (count, 10 * L, D) of features (T, L, D) at 50 time steps per second."""
    first = (torch.arange(count, dtype=torch.float64) * RATE / fps).floor().long()
    indices = first[:, None] + torch.arange(-STEPS_BEFORE, STEPS_AFTER)
    return features[indices.clamp(0, len(features) - 1)].flatten(1, 2)


def log_mel(sound: Tensor, sample_rate: int) -> Tensor:
    """Return Whisper's log-mel spectrogram (80, T // 160) of audio (T,), clipped to 8 decades below the maximum.

    Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2.
    """
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(sound, FFT_SIZE, HOP, window=window, return_complex=True)
    power = spectrum[:, :-1].abs().square()
    edges = mel_to_hz(
        torch.linspace(0, 1, MEL_BANDS + 2, dtype=torch.float64)
        * hz_to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64))
    )
    area = (2 / (edges[2:] - edges[:-2])).float()[:, None]  # Slaney's filters have equal area, not equal height
    bands = (mel_filters(MEL_BANDS, sample_rate, FFT_SIZE) * area) @ power
    log_power = bands.clamp(min=1e-10).log10()
    return (log_power.maximum(log_power.max() - 8) + 4) / 4
