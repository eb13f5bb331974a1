"""Closer and sharper looks at lips that are hardly parted, as in a smile that shows a narrow strip of teeth.

At the size at which a face is searched, such a strip is a few pixels high, and the edge of the upper lip is often seen
half way down the teeth. The upper half of the teeth would then move with the lip, and the lower half stay. In crops in
which the mouth is larger and sharper, the strip is seen as high as it is.

Of faces that look to the side, closer views see the far side better, too: the network was trained on few of them.

A dark moustache over bright lower teeth is seen as lips that are shut, and all the more so the closer one looks. Wider
crops, sharpened, show that they are not.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..face import topology as mesh
from ..face.align import NOSE_BASE, extract_crop, from_crop
from ..face.mesh import frontal, keypoints_of, mesh_crop
from ..face.networks import FaceNetworks
from ..face.turned import looks_aside
from ..motion.geometry import lip_aperture
from ..types import Crop

SHUT = 0.016  # lip aperture up to which lips are together, and a closer look would only see more of their shadow
VIEWS = ((1.2, 0.0), (1.3, 0.08), (1.4, 0.1))  # enlargement of the usual crop, about a point below its middle in sides
ASIDE_VIEWS = ((1.1, 0.0), (1.2, 0.0), (1.2, 0.1), (1.3, 0.0), (1.3, 0.1))
WIDE_VIEWS = ((0.85, 0.05), (0.95, 0.05))
SHARPER, ABOUT = 2.0, 9  # strength of the sharpening, and the side in pixels of what a pixel is compared with
WIDER, WIDEST = 1.1, 3.0  # ratios of lip apertures from which a closer look has seen more, and up to which it is right
AGREE = 1.6  # largest ratio of the lip apertures of the views, above which none can be trusted

LIPS = tuple(dict.fromkeys(mesh.LIPS_OUTER + mesh.LIPS_INNER + mesh.LIPS_BETWEEN))


def look_closer(picture: Tensor, landmarks: Tensor, networks: FaceNetworks) -> Tensor:
    """Return landmarks (478, 3) of a face with its lips where closer views show them further apart.

    picture: (3, H, W) in 0..1. landmarks: (478, 3) in its pixels, which are returned as they are where the lips are
    together, or the views show them no further apart, or much further, or do not agree.
    """
    aperture = lip_aperture(landmarks)
    if aperture < SHUT:
        return landmarks
    seen = _seen(picture, landmarks, VIEWS, networks)
    apertures = lip_aperture(seen)
    least, mean, most = apertures.min(), apertures.mean(), apertures.max()
    if least < WIDER * aperture or mean > WIDEST * aperture or most > AGREE * least:
        return landmarks
    found = landmarks.clone()
    found[list(LIPS)] = seen[:, list(LIPS)].mean(0)
    return found


def look_sharper(picture: Tensor, landmarks: Tensor, networks: FaceNetworks) -> Tensor:
    """Return the landmarks (478, 3) that wider and sharper views show. picture: (3, H, W). landmarks: (478, 3)."""
    return _seen(picture, landmarks, WIDE_VIEWS, networks).mean(0)


def look_aside(
    picture: Tensor, landmarks: Tensor, blendshapes: Tensor, networks: FaceNetworks
) -> tuple[Tensor, Tensor]:
    """Return landmarks (478, 3) and coefficients (52,) of a face that looks to the side, as closer views show it.

    Below the nose, its far side is often seen in the wrong place. picture: (3, H, W) in 0..1. landmarks: (478, 3) in
    its pixels. blendshapes: (52,). Those of other faces are returned as they are.
    """
    aside = looks_aside(landmarks)
    if aside == 0:
        return landmarks, blendshapes
    seen = _seen(picture, landmarks, ASIDE_VIEWS, networks, sharper=0.0).mean(0)
    mean = networks.expression.mean.to(landmarks)
    below = mean[:, 1] > mean[NOSE_BASE, 1]
    found = landmarks.lerp(seen, aside * below[:, None])
    shapes = networks.expression(frontal(found, mean)[None].to(networks.device))[0].to(blendshapes)
    return found, blendshapes.lerp(shapes, aside)


@torch.no_grad()
def _seen(
    picture: Tensor,
    landmarks: Tensor,
    views: tuple[tuple[float, float], ...],
    networks: FaceNetworks,
    sharper: float = SHARPER,
) -> Tensor:
    """Return the landmarks (V, 478, 3) that sharpened views show of a face with known landmarks (478, 3)."""
    crop = mesh_crop(keypoints_of(landmarks), (picture.shape[-2], picture.shape[-1]), networks.mesh.config.input_size)
    crops = [_enlarged(crop, *view) for view in views]
    sharp = torch.stack([_sharpened(extract_crop(picture, view), sharper) for view in crops])
    in_crops, _ = networks.mesh(sharp.to(networks.device))
    return torch.stack([from_crop(points, view) for points, view in zip(in_crops.to(landmarks), crops, strict=True)])


def _enlarged(crop: Crop, factor: float, below: float) -> Crop:
    """Return the crop enlarged about the point ``below`` its middle, in sides."""
    about = crop.size * crop.matrix.new_tensor((0.5, 0.5 + below))
    matrix = crop.matrix * factor
    matrix[:, 2] += (1 - factor) * about
    return Crop(matrix, crop.size, crop.image_size)


def _sharpened(picture: Tensor, strength: float) -> Tensor:
    """Return a picture (3, S, S) in 0..1 with the contrast of its details increased (unsharp masking)."""
    return (picture + strength * (picture - avg_pool2d(picture, ABOUT, 1, ABOUT // 2))).clamp(0, 1)
