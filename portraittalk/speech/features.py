"""Waveform -> speech features at the video's frame rate: log-mel patches, alike for loud and quiet recordings."""

import logging

import torch
from torch import Tensor

from ..config import SpeechConfig
from ..media.audio import Audio, frame_count
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Speech
from .mel import CHUNK_SECONDS, mel_chunks

log = logging.getLogger(__name__)

TARGET_LEVEL_DB = -23.0
MAX_GAIN_DB = 20.0  # quieter recordings than -43 dB stay quiet: the hiss of an empty room must not become speech
MIN_GAIN_DB = -30.0
GATE_DB = -60.0  # what counts as sound at all
ACTIVE_MARGIN_DB = 15.9  # ITU-T P.56: speech is active where it is no more than this below its active level

FLOOR = 1e-8  # -80 dB of full scale, added to every band: silence is a constant, not minus infinity
CENTRE_DB = -65.0
SPREAD_DB = 20.0
SILENCE = (-80.0 - CENTRE_DB) / SPREAD_DB  # the value of every feature of pure silence

BALANCE_STEPS = 50  # mel frames of speech that weigh as much as what is known of speech beforehand
MAX_BALANCE_DB = 20.0


def encode_speech(
    audio: Audio, fps: float, config: SpeechConfig, progress: ProgressCallback = ignore_progress
) -> Speech:
    """Sound of any rate, channels and length -> one log-mel patch per video frame.

    Each patch has ``config.steps`` mel frames of ``config.dim`` bands around the middle of its video frame, second
    ``(k + 0.5) / fps`` (rounded to a hop, 10 ms); beyond the ends of the sound there is silence. A value is

        (10 log10(band power * gain + 1e-8) + 65) / 20

    where ``gain`` brings the active level of this sound to -23 dB of full scale (see ``level_gain``). Speech lies
    between -0.75 (``SILENCE``, what pure silence gives everywhere) and about 2. The number of frames is
    ``frame_count(samples, sample_rate, fps)``. Reports stage "speech" to ``progress`` every 30 s of sound.

    Raises SettingsError for an fps that is not above 0.
    """
    count = frame_count(audio.samples, audio.sample_rate, fps)
    total = -(-audio.samples // (CHUNK_SECONDS * audio.sample_rate))
    chunks = []
    for power in mel_chunks(audio, config):
        chunks.append(power)
        progress(Progress("speech", len(chunks), total))
    power = torch.cat(chunks)
    return Speech(patches(log_mel(power, level_gain(power)), count, fps, config), fps, audio.seconds)


def level_gain(power: Tensor) -> float:
    """Band powers (J, dim) -> the factor on power that brings the speech in it to ``TARGET_LEVEL_DB``.

    The active level is the mean power of the frames no more than 15.9 dB below it (after ITU-T P.56), found by raising
    the threshold from the mean of all frames above -60 dB. Pauses hardly change it, so that the beginning of a speech
    has about the gain of the whole. The gain lies in -30..+20 dB, and is 1 where nothing is above -60 dB.
    """
    frames = power.sum(1, dtype=torch.float64)
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
    """Band powers (..., dim) -> features of about zero mean and unit range; zero power gives ``SILENCE``."""
    return (10 * (power * gain + FLOOR).log10() - CENTRE_DB) / SPREAD_DB


def mel_powers(features: Tensor) -> Tensor:
    """The inverse of ``log_mel`` for a gain of 1."""
    return (10 ** ((features * SPREAD_DB + CENTRE_DB) / 10) - FLOOR).clamp_min(0)


def band_levels(features: Tensor, usual: Tensor) -> Tensor:
    """Features (..., F, steps, dim) of whole speeches -> (..., dim), the mean of each band while there is speech.

    It is what the voice, the room and the microphone have in common at all times. usual: (dim,), what it is of most
    speech, towards which short ones are drawn: it counts as ``BALANCE_STEPS`` mel frames. There is speech where a mel
    frame is no more than 15.9 dB below the level that ``level_gain`` brings speech to.
    """
    middle = features.shape[-2] // 2
    total, count = speech_in(features[..., middle - 1 : middle + 1, :].flatten(-3, -2))  # each frame's own two steps
    return (total + BALANCE_STEPS * usual) / (count + BALANCE_STEPS)


def speech_in(mel: Tensor) -> tuple[Tensor, Tensor]:
    """Features (..., J, dim) of mel frames -> the sum (..., dim) of those in which there is speech, and how many they
    are (..., 1)."""
    active = mel_powers(mel).sum(-1, keepdim=True) > 10 ** ((TARGET_LEVEL_DB - ACTIVE_MARGIN_DB) / 10)
    return (mel * active).sum(-2), active.sum(-2)


def balance(features: Tensor, change: Tensor) -> Tensor:
    """Features (..., F, steps, dim) as if each band had been louder by ``change`` (..., dim), in the unit of features.

    No band changes by more than 20 dB, and silence stays silence.
    """
    limit = MAX_BALANCE_DB / SPREAD_DB
    gain = 10 ** (change.clamp(-limit, limit) * (SPREAD_DB / 10))
    return log_mel(mel_powers(features), gain[..., None, None, :])


def patches(mel: Tensor, count: int, fps: float, config: SpeechConfig) -> Tensor:
    """Mel frames (J, dim), one a hop -> (count, steps, dim), the frames around the middle of each video frame."""
    starts = patch_starts(count, fps, config)
    padded = torch.nn.functional.pad(mel, (0, 0, config.steps, config.steps), value=SILENCE)
    places = starts[:, None] + torch.arange(config.steps) + config.steps  # (count, steps)
    return padded[places.clamp(0, len(padded) - 1)]


def patch_starts(count: int, fps: float, config: SpeechConfig) -> Tensor:
    """(count,) the mel frame at which the patch of each video frame begins; negative before the sound does."""
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / fps * (config.sample_rate / config.hop)
    return (middles - config.steps / 2).round().long()


def at_rate(speech: Speech, fps: float, config: SpeechConfig) -> Speech:
    """The same speech at another frame rate: what ``encode_speech`` would have given for the sound, without the sound.

    The patches of neighbouring frames overlap, so that they hold the whole spectrogram: at 5 frames a second and above
    with the features of ``mini``.
    """
    if speech.fps == fps:
        return speech
    length = round(speech.seconds * config.sample_rate / config.hop) + 1
    mel = speech.features.new_full((length + 2 * config.steps, config.dim), SILENCE)
    places = patch_starts(len(speech), speech.fps, config)[:, None] + torch.arange(config.steps)
    mel[(places + config.steps).clamp(0, len(mel) - 1)] = speech.features
    count = frame_count(round(speech.seconds * config.sample_rate), config.sample_rate, fps)
    return Speech(patches(mel[config.steps :], count, fps, config), fps, speech.seconds)
