"""Speech features at the video's frame rate: patches of a log-mel spectrogram, normalised in loudness."""

import logging

import torch
from torch import Tensor

from ..config import SpeechConfig
from ..media.audio import frame_count
from ..media.sound import Sound
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Speech
from .mel import CHUNK_SECONDS, mel_chunks, mel_frames

log = logging.getLogger(__name__)

TARGET_LEVEL_DB = -23.0
MAX_GAIN_DB = 20.0  # recordings below -43 dB stay quiet, so that the noise of an empty room does not become speech
MIN_GAIN_DB = -30.0
GATE_DB = -60.0  # frames below this level are ignored
ACTIVE_MARGIN_DB = 15.9  # ITU-T P.56: frames are active down to this far below the active speech level

MEL_FRAMES = 1 << 13  # converted at once: of long speech, copies of the whole spectrogram would need most of the memory
FLOOR = 1e-8  # -80 dB of full scale, added to every band, so that silence is a constant, not minus infinity
CENTRE_DB = -65.0
SPREAD_DB = 20.0
SILENCE = (-80.0 - CENTRE_DB) / SPREAD_DB  # feature value of digital silence

BALANCE_STEPS = 50  # weight of the prior band levels, in mel frames of speech
MAX_BALANCE_DB = 20.0


def encode_speech(
    audio: Sound, fps: float, config: SpeechConfig, progress: ProgressCallback = ignore_progress
) -> Speech:
    """Encode audio of any sample rate, channels and length as one log-mel patch per video frame.

    Each patch has ``config.steps`` mel frames of ``config.dim`` bands around the middle of its video frame, at
    ``(k + 0.5) / fps`` seconds (rounded to a hop, 10 ms), and is padded with silence at the ends. A value is

        (10 log10(band power * gain + 1e-8) + 65) / 20

    where ``gain`` brings the active speech level of the audio to -23 dB of full scale (see ``level_gain``). Speech lies
    between -0.75 (``SILENCE``, the value of digital silence) and about 2. The number of frames is
    ``frame_count(samples, sample_rate, fps)``. Reports stage "speech" to ``progress`` every 30 s of audio.

    Raises SettingsError for an fps that is not above 0.
    """
    count = frame_count(audio.samples, audio.sample_rate, fps)
    total = -(-audio.samples // (CHUNK_SECONDS * audio.sample_rate))
    # The spectrogram grows with the length of the speech, so there is one copy of it, changed in place.
    padded = silence(mel_frames(audio, config), config)
    mel, end = padded[config.steps : len(padded) - config.steps], 0
    for number, power in enumerate(mel_chunks(audio, config), 1):
        mel[end : end + len(power)] = power
        end += len(power)
        progress(Progress("speech", number, total))
    gain = level_gain(mel)
    for part in mel.split(MEL_FRAMES):
        part.copy_(log_mel(part, gain))
    return Speech(padded_patches(padded, count, fps, config), fps, audio.seconds)


def level_gain(power: Tensor) -> float:
    """Return the power gain that brings the speech in band powers (J, dim) to ``TARGET_LEVEL_DB``.

    The active level is the mean power of the frames at most 15.9 dB below it (after ITU-T P.56), found by iteration
    from the mean of all frames above -60 dB. Pauses hardly change it, so that the beginning of a speech gets about the
    gain of the whole. The gain is limited to -30..+20 dB, and is 1 if no frame is above -60 dB.
    """
    frames = torch.cat([part.sum(1, dtype=torch.float64) for part in power.split(MEL_FRAMES)])
    frames = frames[frames > 10 ** (GATE_DB / 10)]
    if not len(frames):
        return 1.0
    active = frames.mean()
    for _ in range(8):
        active = frames[frames > active * 10 ** (-ACTIVE_MARGIN_DB / 10)].mean()
    gain_db = min(max(TARGET_LEVEL_DB - 10 * active.log10().item(), MIN_GAIN_DB), MAX_GAIN_DB)
    log.debug("active speech level %.1f dB, gain %.1f dB", TARGET_LEVEL_DB - gain_db, gain_db)
    return 10 ** (gain_db / 10)


def log_mel(power: Tensor, gain: float | Tensor) -> Tensor:
    """Return features of about zero mean and unit range from band powers (..., dim); zero power gives ``SILENCE``."""
    return (10 * (power * gain + FLOOR).log10() - CENTRE_DB) / SPREAD_DB


def mel_powers(features: Tensor) -> Tensor:
    """Return the band powers of features: the inverse of ``log_mel`` for a gain of 1."""
    return (10 ** ((features * SPREAD_DB + CENTRE_DB) / 10) - FLOOR).clamp_min(0)


def band_levels(features: Tensor, usual: Tensor) -> Tensor:
    """Return the mean level of each band (..., dim) over active speech in features (..., F, steps, dim) of whole clips.

    It captures the constant colouration by voice, room and microphone. usual: (dim,) prior, the level in average
    speech; it has the weight of ``BALANCE_STEPS`` mel frames, which regularises short clips. A mel frame is active if
    it is at most 15.9 dB below ``TARGET_LEVEL_DB``.
    """
    middle = features.shape[-2] // 2
    # The two central steps of each patch belong to its own video frame.
    total, count = speech_in(features[..., middle - 1 : middle + 1, :].flatten(-3, -2))
    return (total + BALANCE_STEPS * usual) / (count + BALANCE_STEPS)


def speech_in(mel: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum (..., dim) and the number (..., 1) of the active mel frames in features (..., J, dim)."""
    powers = torch.cat([mel_powers(part).sum(-1, keepdim=True) for part in mel.split(MEL_FRAMES, -2)], -2)
    active = powers > 10 ** ((TARGET_LEVEL_DB - ACTIVE_MARGIN_DB) / 10)
    return (mel * active).sum(-2), active.sum(-2)


def balance(features: Tensor, change: Tensor) -> Tensor:
    """Equalise features (..., F, steps, dim): raise each band by ``change`` (..., dim), in feature units.

    The change of a band is limited to 20 dB; silence stays silence.
    """
    limit = MAX_BALANCE_DB / SPREAD_DB
    gain = 10 ** (change.clamp(-limit, limit) * (SPREAD_DB / 10))
    return log_mel(mel_powers(features), gain[..., None, None, :])


def silence(frames: int, config: SpeechConfig) -> Tensor:
    """Return mel frames (steps + frames + steps, dim) of silence, to be filled in between for ``padded_patches``."""
    return torch.full((frames + 2 * config.steps, config.dim), SILENCE)


def patches(mel: Tensor, count: int, fps: float, config: SpeechConfig) -> Tensor:
    """Return patches (count, steps, dim) of mel frames (J, dim), one per hop, centred on each video frame."""
    padded = silence(len(mel), config).to(mel)
    padded[config.steps : len(padded) - config.steps] = mel
    return padded_patches(padded, count, fps, config)


def padded_patches(padded: Tensor, count: int, fps: float, config: SpeechConfig) -> Tensor:
    """Return the ``patches`` of mel frames that lie between silence, (steps + J + steps, dim).

    If they are evenly spaced, as at 25 fps, the result is a view in which they overlap: do not write into it. It takes
    a fifth of the memory of a copy, which would be the largest tensor of a long speech.
    """
    starts = patch_starts(count, fps, config) + config.steps
    first, last = int(starts[0]), int(starts[-1])
    step = (last - first) // max(count - 1, 1)
    even = step > 0 and torch.equal(starts, first + step * torch.arange(count))
    if even and first >= 0 and last + config.steps <= len(padded):
        return padded[first:].unfold(0, config.steps, step)[:count].transpose(1, 2)
    indices = starts[:, None] + torch.arange(config.steps)  # (count, steps)
    return padded[indices.clamp(0, len(padded) - 1)]


def patch_starts(count: int, fps: float, config: SpeechConfig) -> Tensor:
    """Return the first mel frame (count,) of each video frame's patch; negative before the start of the audio."""
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / fps * (config.sample_rate / config.hop)
    return (middles - config.steps / 2).round().long()


def at_rate(speech: Speech, fps: float, config: SpeechConfig) -> Speech:
    """Convert speech features to another frame rate, as ``encode_speech`` would return them, without the audio.

    The spectrogram is reassembled from the patches, which must overlap: with the features of ``mini`` from 5 fps on.
    """
    if speech.fps == fps:
        return speech
    padded = silence(round(speech.seconds * config.sample_rate / config.hop) + 1, config).to(speech.features)
    indices = patch_starts(len(speech), speech.fps, config)[:, None] + torch.arange(config.steps)
    padded[(indices + config.steps).clamp(0, len(padded) - 1)] = speech.features
    count = frame_count(round(speech.seconds * config.sample_rate), config.sample_rate, fps)
    return Speech(padded_patches(padded, count, fps, config), fps, speech.seconds)
