"""LSE-D and LSE-C (Prajwal, Mukhopadhyay, Namboodiri and Jawahar 2020): lip sync error measured with SyncNet.

As in SyncNet's own scripts, d(l) is the mean distance between the embedding of each window of five frames and that of
the audio shifted by l frames, for l from -15 to 15. LSE-D = min d, lower is better; LSE-C = median d - min d, higher is
better; the offset is the lag of the minimum. Outside the clip, embeddings are zero.

Two details differ. SyncNet's scripts take the face box from the detector S3FD; here it is the box of the landmarks,
forehead to chin and cheek to cheek, as S3FD was trained to draw it. And the scripts write the crops to a video and read
it back; here they go straight into the network.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad, pairwise_distance

from ..media.audio import Audio
from ..media.resample import resample
from ..progress import Progress, ProgressCallback, ignore_progress
from ..types import Face
from .mfcc import SAMPLE_RATE, mfcc
from .syncnet import SOUND_WINDOW, STEPS_PER_FRAME, WINDOW, SyncNet

FPS = 25
SIZE = 224  # input side of SyncNet in pixels
REACH = 15  # largest lag in frames
SMOOTH = 13  # frames of the median filter on the face position
# Extent of the crop from the box centre, in halves of the box's longer side.
ABOVE, BELOW, BESIDE = 1.0, 1.8, 1.4
GREY = 110.0  # padding outside the picture
SHORTEST = 25  # frames
AT_ONCE = 16  # windows per batch


@dataclass(frozen=True)
class LipSync:
    """SyncNet's scores. lse_c: confidence. lse_d: distance. offset: frames by which the face is late, at 25 fps."""

    lse_c: float
    lse_d: float
    offset: int


@torch.no_grad()
def lip_sync(
    net: SyncNet,
    frames: Iterable[Tensor],
    faces: list[Face | None],
    audio: Audio,
    progress: ProgressCallback = ignore_progress,
) -> LipSync | None:
    """Return the lip sync scores of a clip, or None for less than a second between the first and the last face.

    frames: (3, H, W) in 0..1 at 25 fps, as many as ``faces``; only a few are in memory at a time. Frames from the first
    to the last face are used; the positions of missing faces are interpolated.
    """
    known = [number for number, face in enumerate(faces) if face is not None]
    if not known:
        return None
    start, places = known[0], face_places(faces[known[0] : known[-1] + 1])
    sound = resample(audio.mono()[None], audio.sample_rate, SAMPLE_RATE)[0]
    samples = (sound * 32768).round().clamp(-32768, 32767)[start * SAMPLE_RATE // FPS :]
    count = min(len(places), len(samples) * FPS // SAMPLE_RATE)
    if count < SHORTEST:
        return None
    device = next(net.parameters()).device
    windows = count - WINDOW  # one fewer than possible, as in SyncNet's scripts
    cepstra = mfcc(samples[: len(places) * SAMPLE_RATE // FPS])
    cepstra = cepstra[: (windows - 1) * STEPS_PER_FRAME + SOUND_WINDOW].to(device, torch.float32)
    audio_embeddings = torch.cat([net.embed_audio(part) for part in _overlapping(cepstra)]).cpu()
    face_embeddings: list[Tensor] = []
    crops: list[Tensor] = []
    for number, frame in enumerate(frames):
        if start <= number < start + windows + WINDOW - 1:
            crops.append(face_crop(frame, places[number - start]))
        if len(crops) == AT_ONCE + WINDOW - 1 or (number == len(faces) - 1 and len(crops) >= WINDOW):
            face_embeddings.append(net.embed_faces(torch.stack(crops).to(device)).cpu())
            crops = crops[1 - WINDOW :]
        progress(Progress("lip sync", number + 1, len(faces)))
    return lip_sync_of(torch.cat(face_embeddings), audio_embeddings)


def lip_sync_of(faces: Tensor, audio: Tensor) -> LipSync:
    """Return the scores of face and audio embeddings (N, 1024) of the same times."""
    padded = pad(audio, (0, 0, REACH, REACH))
    lags = range(2 * REACH + 1)  # of the audio; REACH is lag 0
    distances = torch.stack([pairwise_distance(faces, padded[lag : lag + len(faces)]).mean() for lag in lags])
    least = int(distances.argmin())
    return LipSync((distances.median() - distances[least]).item(), distances[least].item(), REACH - least)


def face_places(faces: list[Face | None]) -> Tensor:
    """Return (F, 3): the box centre (x, y) and half the longer side in pixels, median-filtered over 13 frames.

    The first and the last frame must have a face. As in SyncNet's scripts, the median filter is zero-padded.
    """
    known = [number for number, face in enumerate(faces) if face is not None]
    boxes = torch.tensor([face.box for face in faces if face is not None], dtype=torch.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    found = torch.cat(((low + high) / 2, (high - low).amax(1, keepdim=True) / 2), 1)
    columns = [np.interp(np.arange(len(faces)), known, column.numpy()) for column in found.T]
    places = torch.from_numpy(np.stack(columns))  # (3, F)
    return pad(places, (SMOOTH // 2, SMOOTH // 2)).unfold(1, SMOOTH, 1).median(2).values.T


def face_crop(frame: Tensor, place: Tensor) -> Tensor:
    """Return SyncNet's face crop (3, 224, 224), BGR in 0..255, of a frame (3, H, W) in 0..1."""
    x, y, half = place.tolist()
    margin = int(half * BELOW)
    padded = pad((255 * frame).round(), (margin,) * 4, value=GREY)
    top, bottom = int(y + margin - half * ABOVE), int(y + margin + half * BELOW)
    left, right = int(x + margin - half * BESIDE), int(x + margin + half * BESIDE)
    face = interpolate(padded[None, :, top:bottom, left:right], (SIZE, SIZE), mode="bilinear", align_corners=False)
    return face[0].round().flip(0)


def _overlapping(cepstra: Tensor) -> list[Tensor]:
    """Split cepstra (T, 13) into overlapping parts of ``AT_ONCE`` windows each, which together are all windows."""
    step = AT_ONCE * STEPS_PER_FRAME
    starts = range(0, len(cepstra) - SOUND_WINDOW + 1, step)
    return [cepstra[start : start + step + SOUND_WINDOW - STEPS_PER_FRAME] for start in starts]
