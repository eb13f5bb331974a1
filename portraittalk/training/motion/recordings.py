"""Recordings of real speakers, filmed or captured, as coefficients of the mouth in step with the sound."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import MediaError, MotionError
from ...media.audio import frame_count, read_audio
from ...metrics.naturalness import loudness, silences
from ...models.face_basis import FaceBasis
from ...models.motion_net import BOTH_SIDES, MOTION_FPS
from ...motion.geometry import lip_aperture
from ...speech.phones import PHONE_INDEX, SILENCE_PHONE, Phone, phone_labels, read_phones
from ..data.mocap import MOCAP, read_mocap
from ..data.tracks import read_spoken_track
from .targets import at_rest, fit_coefficients

log = logging.getLogger(__name__)

NEARLY_CLOSED = 0.1  # quantile of the lip aperture up to which a mouth without silence is at rest


@dataclass(frozen=True)
class Recording:
    """sound: its sound file. phones: None if they are not known. motion: (F, len(SPOKEN_NAMES)) coefficients at 25 fps,
    0 at rest, NaN where they were not captured."""

    name: str
    sound: Path
    phones: list[Phone] | None
    motion: Tensor


def filmed(clip: Path, track: Path, phones: Path | None, basis: FaceBasis) -> Recording | None:
    """Return a video's recording, or None if a frame shows no face.

    track: its track file. phones: its phone file; where there is none, silence is found by loudness.
    """
    tracked = read_spoken_track(track)
    if tracked is None:
        log.warning("Skipped %s: some of its frames show no face.", clip.name)
        return None
    landmarks, blendshapes = tracked
    known = _phones_in(phones)
    silent = _silent(clip, known, len(landmarks))
    gaps = lip_aperture(landmarks)
    rest = at_rest(landmarks, silent) if silent.any() else gaps <= gaps.quantile(NEARLY_CLOSED)
    return Recording(clip.stem, clip, known, fit_coefficients(landmarks, blendshapes, rest, basis))


def captured(file: Path, phones: Path | None, basis: FaceBasis) -> Recording:
    """Return the recording of a motion capture with its sound file beside it. phones: as in ``filmed``.

    Raises MotionError and MediaError for files that cannot be used.
    """
    mocap, sound = read_mocap(file), sound_of(file)
    audio = read_audio(sound)
    count = min(len(mocap.expression), frame_count(audio.samples, audio.sample_rate, MOTION_FPS))
    coefficients = (mocap.expression[:count] @ BOTH_SIDES) / BOTH_SIDES.sum(0)
    known = _phones_in(phones)
    silent, gaps = _silent(sound, known, count), basis.asked_aperture(coefficients @ BOTH_SIDES.T)
    rest = silent & (gaps <= gaps[silent].median()) if silent.any() else gaps <= gaps.quantile(NEARLY_CLOSED)
    motion = (coefficients - coefficients[rest].mean(0)).clamp_min(0)
    motion[:, mocap.given.float() @ BOTH_SIDES == 0] = torch.nan
    return Recording(file.stem, sound, known, motion)


def sound_of(file: Path) -> Path:
    """Return the sound or video file beside a motion capture, of the same name. Raises MotionError without one."""
    found = sorted(
        path
        for path in file.parent.glob(f"{_escaped(file.stem)}.*")
        if path.suffix.lower() not in (*MOCAP, ".phones", ".json", ".txt") and path.is_file()
    )
    if not found:
        raise MotionError(f"There is no sound for {file.name}: put it beside it, as {file.stem}.wav.")
    return found[0]


def _escaped(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def _phones_in(path: Path | None) -> list[Phone] | None:
    return None if path is None else read_phones(path)


def _silent(sound: Path, phones: Sequence[Phone] | None, count: int) -> Tensor:
    """Return the silent ones of ``count`` frames: (count,)."""
    if phones is not None:
        return phone_labels(list(phones), count, MOTION_FPS) == PHONE_INDEX[SILENCE_PHONE]
    return silences(loudness(read_audio(sound), count, MOTION_FPS), MOTION_FPS)[0]


def require_speakers(recordings: Sequence[Recording]) -> None:
    """Raise MediaError if there is nothing to learn motion from."""
    if not recordings:
        raise MediaError(
            "None of the videos can be trained on: track videos that show the face in every frame, or give motion "
            "capture."
        )
