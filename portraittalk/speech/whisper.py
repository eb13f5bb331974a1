"""Waveform -> Whisper features at the video's frame rate, in the windows that EchoMimic was trained with."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..config import SpeechConfig
from ..media.audio import Audio, frame_count
from ..media.resample import resample
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Speech
from .mel import hz_to_mel, mel_filters, mel_to_hz

MEL_BANDS = 80
SECONDS, RATE = 30, 50  # what the encoder hears at once, and its features a second
FFT_SIZE, HOP = 400, 160
STEPS_BEFORE, STEPS_AFTER = 4, 6  # moments around a frame, of 20 ms each


@torch.no_grad()
def encode_speech(
    audio: Audio, fps: float, encoder: nn.Module, config: SpeechConfig, progress: ProgressCallback = ignore_progress
) -> Speech:
    """Sound of any rate, channels and length -> per video frame ``config.steps`` tokens of ``config.dim`` values.

    The sound is heard in stretches of 30 s. A frame's tokens are those of 10 moments, 80 ms before to 120 ms after its
    beginning, in the order of time, of each moment the layers in turn; beyond the ends the first or last moment counts.
    The number of frames is ``frame_count(samples, sample_rate, fps)``. Reports stage "speech" for every stretch.
    """
    weight = next(encoder.parameters())
    mel = log_mel(resample(audio.mono()[None], audio.sample_rate, config.sample_rate)[0], config.sample_rate)
    stretches = mel.split(SECONDS * config.sample_rate // HOP, 1)
    heard = []
    for number, stretch in enumerate(stretches):
        whole = pad(stretch, (0, SECONDS * config.sample_rate // HOP - stretch.shape[1]))
        heard.append(encoder(whole[None].to(weight))[0, : stretch.shape[1] // 2].float().cpu())
        progress(Progress("speech", number + 1, len(stretches)))
    count = frame_count(audio.samples, audio.sample_rate, fps)
    return Speech(tokens(torch.cat(heard), count, fps), fps, audio.seconds)


def tokens(moments: Tensor, count: int, fps: float) -> Tensor:
    """Features (T, L, D), 50 moments a second -> (count, 10 * L, D)."""
    first = (torch.arange(count, dtype=torch.float64) * RATE / fps).floor().long()
    places = first[:, None] + torch.arange(-STEPS_BEFORE, STEPS_AFTER)
    return moments[places.clamp(0, len(moments) - 1)].flatten(1, 2)


def log_mel(sound: Tensor, sample_rate: int) -> Tensor:
    """Whisper's spectrogram of a sound (T,): (80, T // 160), logarithmic, the quietest 8 decades below the loudest.

    Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2.
    """
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(sound, FFT_SIZE, HOP, window=window, return_complex=True)
    power = spectrum[:, :-1].abs().square()
    edges = mel_to_hz(
        torch.linspace(0, 1, MEL_BANDS + 2, dtype=torch.float64)
        * hz_to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64))
    )
    area = (2 / (edges[2:] - edges[:-2])).float()[:, None]  # Slaney's filters have the same area, not the same height
    bands = (mel_filters(MEL_BANDS, sample_rate, FFT_SIZE) * area) @ power
    logarithm = bands.clamp(min=1e-10).log10()
    return (logarithm.maximum(logarithm.max() - 8) + 4) / 4
