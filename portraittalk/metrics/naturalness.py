"""How much a face moves, and when: five of the eight figures of THEval (CVPR 2026 Findings, arXiv 2511.04520).

The other three are image quality networks. A figure says little by itself: real speakers differ from each other by
factors. ``scores`` therefore compares the mean of a set of generated videos with that of the real ones, as THEval does:

    score = 1 - |generated - real| / |real|, not below 0, where 1 is as the real speakers

Three parts are replaced. Head pose comes from a rigid fit of the landmarks instead of FaceXFormer; the face box's
centre is given in pixels of a picture in which the eyes are ``EYE_PIXELS`` apart, instead of the pixels of each video;
and speech is found by its loudness instead of by Silero VAD. So the figures compare with each other, and only roughly
with published ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor

from ..face import topology as mesh
from ..face.align import eye_distance
from ..face.rigid import rigid_fit
from ..media.audio import Audio
from ..models.face_basis import load_basis
from ..motion.geometry import rotation_angles
from ..types import Face

FRAME_SIDE = 256  # pixels to which a frame is scaled for lip dynamics
EYE_PIXELS = 64.0  # eye distance in pixels for the motion of the face box
SILENT_SECONDS = 0.3  # shortest silence that counts
SILENT_DB = -25.0  # loudness below which a frame is silent, relative to the mean power of the louder half
LOUDNESS_SECONDS = 0.05
LIPS = sorted({*mesh.LIPS_OUTER, *mesh.LIPS_INNER})
INNER_PAIRS = tuple(zip(mesh.LIPS_INNER_UPPER[1:-1], mesh.LIPS_INNER_LOWER[1:-1], strict=True))
EYES = (mesh.EYE_RIGHT_UPPER + mesh.EYE_RIGHT_LOWER, mesh.EYE_LEFT_UPPER + mesh.EYE_LEFT_LOWER)
BROWS = (mesh.BROW_RIGHT_UPPER + mesh.BROW_RIGHT_LOWER, mesh.BROW_LEFT_UPPER + mesh.BROW_LEFT_LOWER)


@dataclass(frozen=True)
class Naturalness:
    """The figures of one video. None: the video has no such frames (no silence, no speech).

    lip_dynamics: mean over all pairs of lip landmarks of the standard deviation of their distance, in pixels of a frame
    of 256 x 256. head_motion: see ``head_motion``. brow_dynamics: mean change per frame of the distance from brow to
    eye, in eye distances. silent_lips: how far the lip aperture in silence is spread, in eye distances. lip_loudness:
    mean difference of lip opening and loudness in speech, each scaled to 0..1 over the video; 0 is best.
    """

    lip_dynamics: float
    head_motion: float
    brow_dynamics: float
    silent_lips: float | None
    lip_loudness: float | None


def naturalness(faces: Sequence[Face | None], size: tuple[int, int], audio: Audio, fps: float) -> Naturalness | None:
    """Return the figures of a video, or None if fewer than three frames have a face.

    faces: one per frame. size: (height, width) of the frames. audio: the sound of the video.
    """
    found = torch.tensor([face is not None for face in faces], dtype=torch.bool)
    if found.sum() < 3:
        return None
    landmarks = torch.stack([face.landmarks for face in faces if face is not None])
    height, width = size
    loud = loudness(audio, len(faces), fps)
    silent, speaking = silences(loud, fps)
    return Naturalness(
        lip_dynamics(landmarks[..., :2] * (FRAME_SIDE / landmarks.new_tensor((width, height)))),
        head_motion(landmarks),
        brow_dynamics(landmarks),
        silent_lips(landmarks[silent[found]]),
        lip_loudness(landmarks, loud[found], speaking[found]),
    )


def lip_dynamics(points: Tensor) -> float:
    """Return the mean standard deviation of all lip landmark distances; points: (F, 478, 2) in pixels of 256 x 256."""
    distances = torch.stack([torch.pdist(lips) for lips in points[:, LIPS]])  # (F, pairs)
    return distances.std(0, correction=0).mean().item()


def head_motion(landmarks: Tensor) -> float:
    """Return sqrt(mean standard deviation of the angles * mean variance of their changes per frame + mean variance of
    the centre of the face box), in degrees and in pixels at an eye distance of ``EYE_PIXELS``.

    landmarks: (F, 478, 3) in pixels of any scale.
    """
    facing, _, _ = rigid_fit(load_basis().mean.expand_as(landmarks), landmarks)
    angles = rotation_angles(facing).rad2deg()
    boxes = (landmarks[..., :2].amin(1) + landmarks[..., :2].amax(1)) / 2
    centres = boxes * (EYE_PIXELS / eye_distance(landmarks).median())
    rotation = angles.std(0, correction=0).mean() * angles.diff(dim=0).var(0, correction=0).mean()
    return (rotation + centres.var(0, correction=0).mean()).sqrt().item()


def brow_dynamics(landmarks: Tensor) -> float:
    """Return the mean absolute change per frame of each brow's distance to its eye, in eye distances (F, 478, 3)."""
    unit = eye_distance(landmarks)
    moved = [
        ((landmarks[:, brow, :2].mean(1) - landmarks[:, eye, :2].mean(1)).norm(dim=1) / unit).diff().abs().mean()
        for brow, eye in zip(BROWS, EYES, strict=True)
    ]
    return torch.stack(moved).mean().item()


def silent_lips(landmarks: Tensor) -> float | None:
    """Return the median absolute deviation from the mean of the lip aperture over silent frames (F, 478, 3)."""
    if not len(landmarks):
        return None
    upper, lower = (list(side) for side in zip(*INNER_PAIRS, strict=True))
    gaps = (landmarks[:, lower, 1] - landmarks[:, upper, 1]).abs().mean(1) / eye_distance(landmarks)
    return (gaps - gaps.mean()).abs().median().item()


def lip_loudness(landmarks: Tensor, loud: Tensor, speaking: Tensor) -> float | None:
    """Return the mean difference of lip opening and loudness (F,), each scaled to 0..1, over ``speaking`` frames."""
    if not speaking.any():
        return None
    upper, lower = (list(side) for side in zip(*INNER_PAIRS, strict=True))
    opening = (landmarks[:, lower, 1].mean(1) - landmarks[:, upper, 1].mean(1)) / eye_distance(landmarks)
    return (_scaled(opening) - _scaled(loud))[speaking].abs().mean().item()


def loudness(audio: Audio, count: int, fps: float) -> Tensor:
    """Return the RMS of 50 ms around the middle of each of ``count`` frames: (count,)."""
    samples = audio.mono().double()
    half = round(LOUDNESS_SECONDS / 2 * audio.sample_rate)
    power = torch.cat((samples.new_zeros(1), samples.square().cumsum(0)))
    middles = ((torch.arange(count) + 0.5) / fps * audio.sample_rate).round().long()
    first, stop = (middles - half).clamp(0, len(samples)), (middles + half).clamp(0, len(samples))
    return ((power[stop] - power[first]) / (2 * half)).clamp_min(0).sqrt().float()


def silences(loud: Tensor, fps: float) -> tuple[Tensor, Tensor]:
    """Return masks (F,) of the frames in a silence of at least 0.3 s and of all others, from ``loudness`` (F,)."""
    power = loud.square()
    level = power[power >= power.median()].mean()
    quiet = power < level * 10 ** (SILENT_DB / 10)
    silent = torch.zeros_like(quiet)
    runs, start = quiet.tolist(), 0
    for index in range(len(runs) + 1):
        if index == len(runs) or not runs[index]:
            if (index - start) / fps >= SILENT_SECONDS:
                silent[start:index] = True
            start = index + 1
    return silent, ~silent


def scores(generated: Sequence[Naturalness], real: Sequence[Naturalness]) -> dict[str, float]:
    """Return the score of each figure by name and their ``mean``, where 1 is as the real speakers.

    Figures are averaged over each set first; those that no video of a set has are left out.
    """
    result: dict[str, float] = {}
    for name in (f.name for f in fields(Naturalness)):
        ours, theirs = ([v for one in side if (v := asdict(one)[name]) is not None] for side in (generated, real))
        if ours and theirs:
            reference = sum(theirs) / len(theirs)
            result[name] = max(0.0, 1 - abs(sum(ours) / len(ours) - reference) / max(abs(reference), 1e-9))
    return {**result, "mean": sum(result.values()) / max(len(result), 1)}


def _scaled(values: Tensor) -> Tensor:
    low, high = values.aminmax()
    return (values - low) / (high - low).clamp_min(1e-9)
