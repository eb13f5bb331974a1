"""LSE-D and LSE-C (Prajwal, Mukhopadhyay, Namboodiri and Jawahar 2020): SyncNet's word on whether lips and sound agree.

As SyncNet's own scripts compute them: d(l) is the mean distance of the embedding of each five frames to that of the
sound l frames beside, for l from -15 to 15. LSE-D = min d, the less the better; LSE-C = median d - min d, the more the
better; and the lag at which d is least. What lies before or behind the clip counts there as an embedding of zeros.

Two things are ours. The box around a face, which SyncNet's scripts ask the detector S3FD for: here it is that of the
landmarks, forehead to chin and cheek to cheek, as S3FD was taught to draw it. And the crops go into the network as they
are, while the scripts write them as a video and read it again.
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
SIZE = 224  # pixels a side of what SyncNet sees
REACH = 15  # frames of lag that are looked through
SMOOTH = 13  # frames over which the place of a face is the median
# How far the crop reaches from the middle of the box, in halves of the box's longer side.
ABOVE, BELOW, BESIDE = 1.0, 1.8, 1.4
GREY = 110.0  # outside of the picture
SHORTEST = 25  # frames
AT_ONCE = 16  # windows


@dataclass(frozen=True)
class LipSync:
    """lse_c: confidence, lse_d: distance. offset: frames by which the face is late, at 25 a second."""

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
    """frames: (3, H, W) in 0..1, 25 a second, as many as ``faces``, which holds the face in each. Only a few are held.

    From the first to the last face; where one is missing in between, its place is interpolated. None where less than a
    second is left.
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
    windows = count - WINDOW  # one less than there are: as SyncNet's scripts count
    cepstra = mfcc(samples[: len(places) * SAMPLE_RATE // FPS])
    cepstra = cepstra[: (windows - 1) * STEPS_PER_FRAME + SOUND_WINDOW].to(device, torch.float32)
    heard = torch.cat([net.hear(part) for part in _overlapping(cepstra)]).cpu()
    seen: list[Tensor] = []
    crops: list[Tensor] = []
    for number, frame in enumerate(frames):
        if start <= number < start + windows + WINDOW - 1:
            crops.append(face_crop(frame, places[number - start]))
        if len(crops) == AT_ONCE + WINDOW - 1 or (number == len(faces) - 1 and len(crops) >= WINDOW):
            seen.append(net.see(torch.stack(crops).to(device)).cpu())
            crops = crops[1 - WINDOW :]
        progress(Progress("lip sync", number + 1, len(faces)))
    return lip_sync_of(torch.cat(seen), heard)


def lip_sync_of(seen: Tensor, heard: Tensor) -> LipSync:
    """Embeddings (N, 1024) of what is seen and of what is heard at the same times."""
    around = pad(heard, (0, 0, REACH, REACH))
    lags = range(2 * REACH + 1)  # of the sound, REACH is none
    distances = torch.stack([pairwise_distance(seen, around[lag : lag + len(seen)]).mean() for lag in lags])
    least = int(distances.argmin())
    return LipSync((distances.median() - distances[least]).item(), distances[least].item(), REACH - least)


def face_places(faces: list[Face | None]) -> Tensor:
    """(F, 3): the middle of the box (x, y) and half its longer side, in pixels, medians of 13 frames. The first and the
    last have a face.

    As in SyncNet's scripts, frames before the first and behind the last count as zeros in the medians.
    """
    known = [number for number, face in enumerate(faces) if face is not None]
    boxes = torch.tensor([face.box for face in faces if face is not None], dtype=torch.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    found = torch.cat(((low + high) / 2, (high - low).amax(1, keepdim=True) / 2), 1)
    columns = [np.interp(np.arange(len(faces)), known, column.numpy()) for column in found.T]
    places = torch.from_numpy(np.stack(columns))  # (3, F)
    return pad(places, (SMOOTH // 2, SMOOTH // 2)).unfold(1, SMOOTH, 1).median(2).values.T


def face_crop(frame: Tensor, place: Tensor) -> Tensor:
    """(3, H, W) in 0..1 -> (3, 224, 224), blue, green, red in 0..255: the square that SyncNet sees of a face."""
    x, y, half = place.tolist()
    margin = int(half * BELOW)
    around = pad((255 * frame).round(), (margin,) * 4, value=GREY)
    top, bottom = int(y + margin - half * ABOVE), int(y + margin + half * BELOW)
    left, right = int(x + margin - half * BESIDE), int(x + margin + half * BESIDE)
    face = interpolate(around[None, :, top:bottom, left:right], (SIZE, SIZE), mode="bilinear", align_corners=False)
    return face[0].round().flip(0)


def _overlapping(cepstra: Tensor) -> list[Tensor]:
    """Cepstra (T, 13) cut so that the parts' windows are those of the whole, ``AT_ONCE`` at a time."""
    step = AT_ONCE * STEPS_PER_FRAME
    starts = range(0, len(cepstra) - SOUND_WINDOW + 1, step)
    return [cepstra[start : start + step + SOUND_WINDOW - STEPS_PER_FRAME] for start in starts]
