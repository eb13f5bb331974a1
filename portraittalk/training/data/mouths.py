"""Mouth clips: pictures of one person's mouth, cut out of aligned crops at the density of the mouth window.

A file holds ``pictures`` (N, 3, P, P) uint8, ``landmarks`` (N, 478, 3) in their pixels, ``blendshapes`` (N, 52),
``corner`` (2,), the left and top of the pictures in crop pixels, ``density`` (), see ``CloseUp``, ``black`` () and, if
the eyes show any, ``eye_white`` (3,), see ``compositing.light``, and for videos ``speech`` (N, W, M). Every frame is
aligned by its own face, because the window that the network draws does not turn with the head. The pictures are twice
as large as a window, so that a warp finds what it needs beyond the border.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...compositing.light import black_level, eye_white
from ...compositing.mouth_window import SIDE, mouth_window
from ...config import MINI, SpeechConfig
from ...errors import MediaError, PortraitTalkError
from ...face.align import aligned_crop, extract_crop, scale_of, to_crop
from ...face.detect import FaceProvider
from ...models.motion_net import MOTION_FPS
from ...motion.geometry import lip_aperture
from ...output_files import make_folder
from ...tensor_files import read_tensors
from ...types import Crop, MouthWindow, image_size
from .prepare import largest, write_clip
from .tracks import read_spoken_track

logger = logging.getLogger(__name__)

WINDOW = 128  # pixels of a window's side
PICTURE = 256  # pixels of a mouth clip's pictures
CROP = WINDOW / SIDE  # side of the whole crop at the same density


@dataclass(frozen=True)
class MouthClip:
    """A mouth clip: pictures (N, 3, P, P) uint8, landmarks (N, 478, 3) in crop pixels, blendshapes (N, 52), speech
    (N, W, M) or None. covers: the part of the crop that the pictures show. density: see ``CloseUp``. eye_white, black:
    see ``compositing.light.light_on``; None where they are not known."""

    name: str
    pictures: Tensor
    landmarks: Tensor
    blendshapes: Tensor
    covers: MouthWindow
    speech: Tensor | None
    density: float = 1.0
    eye_white: Tensor | None = None
    black: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pictures)


def read_mouths(path: Path) -> MouthClip:
    """Read a mouth clip. Raises MediaError if the file is something else."""
    tensors = read_tensors(path)[1]
    if not {"pictures", "landmarks", "blendshapes", "corner"} <= tensors.keys():
        raise MediaError(f"{path} is not a mouth clip: give a folder of `portraittalk train mouths`.")
    corner = tensors["corner"]
    landmarks = tensors["landmarks"].clone()
    landmarks[..., :2] += corner
    covers = MouthWindow(corner / CROP, PICTURE / CROP)
    speech = tensors.get("speech")
    return MouthClip(
        path.stem,
        tensors["pictures"],
        landmarks,
        tensors["blendshapes"],
        covers,
        None if speech is None else speech.float(),
        float(tensors.get("density", torch.ones(()))),
        tensors.get("eye_white"),
        tensors.get("black"),
    )


def picture_corner(landmarks: Tensor) -> Tensor:
    """Return left and top (2,), in crop pixels, of the pictures about the mouth of ``landmarks`` (478, 3)."""
    window = mouth_window(landmarks, CROP)
    middle = (window.corner + window.side / 2) * CROP
    return (middle - PICTURE / 2).clamp(0, CROP - PICTURE).round()


def spread(aperture: Tensor, count: int) -> Tensor:
    """Choose ``count`` frames whose lip apertures (F,) are spread evenly over their ranks, in order of time."""
    ranks = torch.linspace(0, len(aperture) - 1, min(count, len(aperture))).round().long()
    return aperture.argsort()[ranks].sort().values


def cut_video(path: Path, track: Path, count: int, speech: SpeechConfig) -> dict[str, Tensor]:
    """Return the tensors of a mouth clip with ``count`` frames of a video, chosen by ``spread``.

    track: the video's track file. Raises MediaError if a frame of it shows no face.
    """
    from ...media.reader import read_video
    from ...speech.features import encode_speech

    tracked = read_spoken_track(track)
    if tracked is None:
        raise MediaError(f"{path} has frames without a face")
    landmarks, blendshapes = tracked
    video = read_video(path, MOTION_FPS)
    chosen = spread(lip_aperture(landmarks), count)
    wanted = set(chosen.tolist())
    frames = [frame for index, frame in enumerate(video) if index in wanted]
    cut = cut_pictures(frames, landmarks[chosen[: len(frames)]])
    cut["blendshapes"] = blendshapes[chosen[: len(frames)]]
    if video.has_audio:
        features = encode_speech(video.audio(), float(MOTION_FPS), speech).features
        cut["speech"] = features[chosen[: len(frames)].clamp_max(len(features) - 1)].half()
    return cut


def cut_portrait(path: Path, provider: FaceProvider) -> dict[str, Tensor]:
    """Return the tensors of a mouth clip with the one frame of a portrait."""
    from ...media.image import read_image

    image = read_image(path).pixels
    face = largest(provider, image)
    shapes = torch.zeros(52) if face.blendshapes is None else face.blendshapes
    return {**cut_pictures([image], face.landmarks[None]), "blendshapes": shapes[None]}


def cut_pictures(frames: list[Tensor], landmarks: Tensor) -> dict[str, Tensor]:
    """Cut the mouths out of frames (3, H, W), each aligned by its own landmarks (F, 478, 3) in pixels.

    All lie at the same place in their crops, about the mouth with the median lip aperture.
    """
    crops = [_scaled(aligned_crop(points, image_size(frames[0]), 1), CROP) for points in landmarks]
    aligned = torch.stack([to_crop(points, crop) for points, crop in zip(landmarks, crops, strict=True)])
    middle = int(lip_aperture(landmarks).argsort()[len(landmarks) // 2])
    corner = picture_corner(aligned[middle])
    pictures = []
    for frame, crop in zip(frames, crops, strict=True):
        matrix = crop.matrix.clone()
        matrix[:, 2] -= corner
        pictures.append(extract_crop(frame, Crop(matrix, PICTURE, crop.image_size)))
    aligned[..., :2] -= corner
    density = min(1 / max(scale_of(crop) for crop in crops), 1.0)
    faces = [aligned_crop(points, image_size(frames[0]), MINI.crop_size) for points in landmarks]
    return {
        **light_in(
            torch.stack([extract_crop(frame, crop) for frame, crop in zip(frames, faces, strict=True)]),
            torch.stack([to_crop(points, crop) for points, crop in zip(landmarks, faces, strict=True)]),
        ),
        "pictures": (torch.stack(pictures) * 255).round().byte(),
        "landmarks": aligned,
        "corner": corner,
        "density": torch.tensor(density),
    }


def light_in(crops: Tensor, landmarks: Tensor) -> dict[str, Tensor]:
    """Return ``black`` () and, if the eyes show any, ``eye_white`` (3,), the medians over crops of whole faces.

    crops: (F, 3, S, S). landmarks: (F, 478, 3) in their pixels.
    """
    whites = [eye_white(crop, points) for crop, points in zip(crops, landmarks, strict=True)]
    seen = [white for white in whites if white is not None]
    blacks = [black_level(crop, points) for crop, points in zip(crops, landmarks, strict=True)]
    light = {"black": torch.stack(blacks).median()}
    return {**light, "eye_white": torch.stack(seen).median(0).values} if seen else light


def _scaled(crop: Crop, factor: float) -> Crop:
    """Return the crop at ``factor`` times its density, without a size of its own."""
    return Crop(crop.matrix * factor, PICTURE, crop.image_size)


def write_mouths(
    videos: dict[Path, int],
    portraits: list[Path],
    tracks: Path,
    provider: FaceProvider,
    speech: SpeechConfig,
    out: Path,
) -> None:
    """Write a mouth clip for each portrait, and for each video with the given number of frames, into ``out``.

    tracks: folder of the videos' track files. Existing files are kept; sources that cannot be read are skipped with a
    log message.
    """
    make_folder(out)
    for path in [*videos, *portraits]:
        target = out / f"{path.stem}.safetensors"
        if target.exists():
            continue
        try:
            if path in videos:
                write_clip(target, cut_video(path, tracks / target.name, videos[path], speech))
            else:
                write_clip(target, cut_portrait(path, provider))
        except PortraitTalkError as error:
            logger.warning("Skipped %s: %s", path.name, error)
