"""Random views of tracked faces with exact labels, to train the face detector and the face mesh.

The labels are a teacher's, read once from whole pictures, videos and driven portraits (``data.prepare``,
``animate.driven_portraits``); geometric augmentations (rotation, scale, smooth deformation, mirroring) transform them
too. Photometric ones (camera, painting styles, occlusion) change only the pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...face.align import extract_crop, to_crop
from ...face.mesh import keypoints_of, mesh_crop
from ...types import Crop
from ..data.clips import choose, jitter_colour, one_of, open_clip, random_shape, split_speakers, uniform


@dataclass(frozen=True)
class FaceViews:
    """rotation: standard deviation of the crop's rotation in radians; a fraction ``wild`` turns by up to 0.8 instead.

    zoom, shift: maximum errors of the crop's size (factor) and position (sides). shape: maximum displacement of the
    random deformation in sides, applied to half of the views. pictures, driven: fractions of whole pictures and driven
    portraits; the rest are videos, of which a fraction ``others`` is of rare speakers.
    """

    rotation: float = 0.12
    wild: float = 0.08
    zoom: float = 1.25
    shift: float = 0.07
    shape: float = 0.04
    pictures: float = 0.4
    driven: float = 0.3
    others: float = 0.6


class FaceSources:
    """Clip files by kind: whole pictures, driven portraits, videos of rare speakers and of the most frequent one."""

    def __init__(self, pictures: list[Path], driven: list[Path], videos: list[Path], views: FaceViews) -> None:
        rare, many = split_speakers(videos)
        clips = 1 - views.pictures - views.driven
        groups = (
            (pictures, views.pictures),
            (driven, views.driven),
            (rare, clips * views.others),
            (many, clips * (1 - views.others)),
        )
        self._groups = [(files, share) for files, share in groups if files and share > 0]

    def pick(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return a random face: a picture (3, H, W) in 0..1 and its landmarks (478, 3) in pixels."""
        shares = torch.tensor([share for _, share in self._groups])
        files = self._groups[int(torch.multinomial(shares, 1, generator=generator))][0]
        clip = open_clip(one_of(files, generator))
        index = choose(len(clip), generator)
        return clip.frames(index, index + 1)[0], clip.landmarks[index]


def mirror_order(mean: Tensor) -> Tensor:
    """Return the landmark order of mirrored pictures (478,), by matching pairs in the average frontal face (478, 3)."""
    distances = torch.cdist(mean * mean.new_tensor((-1, 1, 1)), mean)
    order = [-1] * len(mean)  # of Python's numbers: tensors would be a hundred times slower here
    for pair in distances.flatten().argsort().tolist():
        a, b = divmod(pair, len(mean))
        if order[a] < 0 and order[b] < 0:
            order[a], order[b] = b, a
    return torch.tensor(order)


def face_view(
    image: Tensor, landmarks: Tensor, size: int, order: Tensor, views: FaceViews, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return a random view of a face, as if cropped by ``mesh_crop``: (3, size, size) in 0..1, and its landmarks
    (478, 3) in pixels."""
    height, width = image.shape[-2:]
    crop = jittered(mesh_crop(keypoints_of(landmarks), (height, width), size), views, generator)
    view, points = extract_crop(image, crop), to_crop(landmarks, crop)
    if uniform(0, 1, generator) < 0.5:
        reach = float(uniform(0, views.shape, generator)) * size
        (view,), (points,) = random_shape(view[None], points[None], reach, generator)
    if uniform(0, 1, generator) < 0.5:
        view = view.flip(-1)
        points = (points * points.new_tensor((-1, 1, 1)) + points.new_tensor((size, 0, 0)))[order]
    return degraded(view, generator), points


def jittered(crop: Crop, views: FaceViews, generator: Generator) -> Crop:
    """Rotate, scale and shift a crop at random about its centre."""
    angle = views.rotation * torch.randn((), generator=generator)
    if uniform(0, 1, generator) < views.wild:
        angle = uniform(-0.8, 0.8, generator)
    zoom = views.zoom ** uniform(-1, 1, generator)
    shift = uniform(-views.shift, views.shift, generator, 2) * crop.size
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    turn = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos))))
    matrix = turn @ crop.matrix
    middle = crop.matrix.new_full((2,), crop.size / 2)
    matrix[:, 2] += middle - turn @ middle + shift
    return Crop(matrix, crop.size, crop.image_size)


def degraded(image: Tensor, generator: Generator) -> Tensor:
    """Apply random photometric augmentations to a picture (3, S, S) in 0..1."""
    image = jitter_colour(image, generator, strength=float(uniform(0, 2, generator)))
    changes = ((_lit, 0.3), (_occluded, 0.3), (_drawn, 0.05), (_painted, 0.07), (_grey, 0.1), (_blurred, 0.35))
    for change, chance in changes:
        if uniform(0, 1, generator) < chance:
            image = change(image, generator)
    if uniform(0, 1, generator) < 0.4:
        image = image + uniform(0, 0.06, generator) * torch.randn(image.shape, generator=generator)
    return image.clamp(0, 1)


def retaken(image: Tensor, generator: Generator) -> Tensor:
    """Return a picture (3, S, S) as another camera might show it: other colours, grey or blurred, nothing covered."""
    image = jitter_colour(image, generator)
    for change in (_grey, _blurred):
        if choose(2, generator):
            image = change(image, generator)
    return image.clamp(0, 1)


def _lit(image: Tensor, generator: Generator) -> Tensor:
    """Apply a random linear light gradient."""
    axis = torch.linspace(-1, 1, image.shape[-1])
    x, y = uniform(-1, 1, generator, 2)
    ramp = (x * axis[None] + y * axis[:, None]) * uniform(0, 1.2, generator)
    return image * (1 + ramp).clamp(0.25, 2)


def _occluded(image: Tensor, generator: Generator) -> Tensor:
    """Occlude a rotated rectangle or ellipse with a colour, noise or another part of the picture."""
    size = image.shape[-1]
    axis = (torch.arange(size) + 0.5) / size
    middle, half = uniform(0, 1, generator, 2), uniform(0.03, 0.25, generator, 2)
    angle = uniform(0, 3.1416, generator)
    x, y = axis[None] - middle[0], axis[:, None] - middle[1]
    across, down = (x * angle.cos() + y * angle.sin()) / half[0], (y * angle.cos() - x * angle.sin()) / half[1]
    power = 2 if uniform(0, 1, generator) < 0.5 else 8
    covered = ((across.abs() ** power + down.abs() ** power) < 1).float()
    kind = choose(3, generator)
    if kind == 0:
        cover = uniform(0, 1, generator, 3, 1, 1).expand_as(image)
    elif kind == 1:
        coarse = uniform(0, 1, generator, 1, 3, 8, 8)
        cover = F.interpolate(coarse, (size, size), mode="bilinear")[0]
    else:
        cover = image.roll((choose(size, generator), choose(size, generator)), (1, 2))
    return image.lerp(cover, covered)


def _grey(image: Tensor, generator: Generator) -> Tensor:
    return image.mean(0, keepdim=True).expand_as(image)


def _drawn(image: Tensor, generator: Generator) -> Tensor:
    """Imitate a pencil drawing: the picture divided by its blur."""
    grey = image.mean(0, keepdim=True)
    reach = 3 + 2 * choose(4, generator)
    smooth = F.avg_pool2d(grey[None], reach, 1, reach // 2, count_include_pad=False)[0]
    return ((grey / smooth.clamp_min(0.02)) ** uniform(1, 3, generator)).clamp(0, 1).expand_as(image)


def _painted(image: Tensor, generator: Generator) -> Tensor:
    """Imitate a painting: smoothed and posterised."""
    reach = 3 + 2 * choose(2, generator)
    smooth = F.avg_pool2d(image[None], reach, 1, reach // 2, count_include_pad=False)[0]
    tones = 3 + choose(6, generator)
    return ((smooth * tones).round() / tones).lerp(smooth, uniform(0, 0.6, generator))


def _blurred(image: Tensor, generator: Generator) -> Tensor:
    """Reduce the resolution to that of a small face."""
    size = image.shape[-1]
    small = round(float(size * 2 ** uniform(-2.5, 0, generator)))
    return F.interpolate(F.interpolate(image[None], (small, small), mode="area"), (size, size), mode="bilinear")[0]
