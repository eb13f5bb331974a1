"""Fitting of the mesh's two heads: whether a crop shows an upright face, and whether its mouth is covered.

The rest of the mesh stays as it is, and with it all landmarks: the features that the heads read are computed once, in
the crops that a search would make, and a logistic regression is fitted to them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from typing_extensions import Self

from ...compositing.painter import Painter
from ...face.align import aligned_crop, extract_crop, eye_distance, from_crop
from ...face.mesh import LOOKS, TEMPLATE, detect_keypoints, keypoints_of, mesh_crop
from ...face.networks import FaceNetworks
from ...face.search import BORDER
from ...output_files import make_folder
from ...progress import Progress, ProgressCallback, ignore_progress
from ...text.networks import load_look_networks
from ...types import Crop, image_size
from ..data.clips import choose, one_of, open_clip, uniform
from ..data.prepare import write_clip
from .covers import covered_mouth
from .faceless import faceless
from .views import FaceSources, FaceViews, degraded, jittered, retaken

SIDES = (160, 160, 224, 320, 480)  # of pictures without a face, in pixels
MINED = 0.1  # detector score from which a candidate is a negative; a search asks for more
RIGHT, WRONG = 0.1, 0.3  # mean landmark errors in eye distances below and above which a crop shows the face or not
SMALL, LARGE = 8.0, 120.0  # eye distances in pixels to which faces are reduced
CUT = 0.25  # fraction of the views in which the picture ends at the face, or inside of it
STEPS = 300
PAINTED = 256  # crop size that sets the width of brush strokes, as in mini


@dataclass(frozen=True)
class HeadTraining:
    """faces: views of faces. askew: crops that lie turned or beside the face. others: pictures without a face, with up
    to ``candidates`` crops each. mouths: faces, every other one with something drawn in front of the mouth. decay:
    weight of the L2 penalty on a head's weights."""

    faces: int = 2000
    askew: int = 500
    others: int = 4500
    candidates: int = 5
    mouths: int = 1600
    decay: float = 1e-4
    seed: int = 0
    views: FaceViews = field(default_factory=lambda: FaceViews(rotation=0.15, wild=0.1, zoom=1.3, shift=0.1))
    sources: FaceViews = field(default_factory=lambda: FaceViews(pictures=0.45, driven=0.35))  # driven: drawn copies

    def times(self, factor: float) -> Self:
        """Return the settings with ``factor`` times as many examples."""
        counts = {name: round(factor * getattr(self, name)) for name in ("faces", "askew", "others", "mouths")}
        return replace(self, **counts)


def fit_heads(
    sources: FaceSources,
    networks: FaceNetworks,
    training: HeadTraining,
    progress: ProgressCallback = ignore_progress,
) -> dict[str, float]:
    """Fit both heads of the mesh in place; return the mean cross-entropy of each."""
    mesh = networks.mesh
    return {
        "presence": fit_head(mesh.presence, *presence_examples(sources, networks, training, progress), training.decay),
        "covered": fit_head(mesh.covered, *covered_examples(sources, networks, training, progress), training.decay),
    }


def paint_copies(files: list[Path], copies: int, seed: int, out: Path) -> None:
    """Write pictures of ``data.prepare.prepare_pictures`` in random looks, four of five drawn; existing files are
    kept."""
    make_folder(out)
    networks = load_look_networks()
    names, lights = networks.config.looks, networks.config.lights
    for number, path in enumerate(path for path in files for _ in range(copies)):
        target = out / f"{path.stem}_{number % copies}.safetensors"
        if target.exists():
            continue
        generator = Generator().manual_seed(seed * len(files) * copies + number)
        drawn = uniform(0, 1, generator) < 0.8
        look = lights + choose(len(names) - lights, generator) if drawn else choose(lights, generator)
        weights = torch.zeros(len(names))
        weights[look] = uniform(0.7, 1.2, generator)
        clip = open_clip(path)
        image, landmarks = clip.frames(0, 1)[0], clip.landmarks[0]
        painted = Painter(networks.net, weights, image, aligned_crop(landmarks, image_size(image), PAINTED)).portrait
        frames = (painted * 255).round().byte()[None]
        write_clip(target, {"frames": frames, "landmarks": clip.landmarks, "blendshapes": clip.blendshapes})


@torch.no_grad()
def presence_examples(
    sources: FaceSources,
    networks: FaceNetworks,
    training: HeadTraining,
    progress: ProgressCallback = ignore_progress,
) -> tuple[Tensor, Tensor]:
    """Return features (N, code) of crops, and whether each shows an upright face, (N,) of 0 and 1."""

    def views(number: int, generator: Generator) -> Iterator[tuple[Tensor, float]]:
        if number < training.faces + training.askew:
            return _of_face(sources, networks, training, number >= training.faces, generator)
        return _of_others(sources, networks, training.candidates, generator)

    return _collected(views, training.faces + training.askew + training.others, training.seed, "faces", progress)


@torch.no_grad()
def covered_examples(
    sources: FaceSources,
    networks: FaceNetworks,
    training: HeadTraining,
    progress: ProgressCallback = ignore_progress,
) -> tuple[Tensor, Tensor]:
    """Return features (N, code) of faces, and whether something is in front of each mouth, (N,) of 0 and 1."""

    def views(number: int, generator: Generator) -> Iterator[tuple[Tensor, float]]:
        return _of_mouth(sources, networks, training, number % 2 == 1, generator)

    return _collected(views, training.mouths, training.seed, "mouths", progress)


def fit_head(head: nn.Linear, features: Tensor, labels: Tensor, decay: float) -> float:
    """Fit a head (N, code) -> (N, 1) in place by logistic regression; return the mean cross-entropy."""
    head.requires_grad_(True)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def entropy() -> Tensor:
        return F.binary_cross_entropy_with_logits(head(features)[:, 0], labels)

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = entropy() + decay * head.weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    head.requires_grad_(False)
    return float(entropy())


def _collected(
    views: Callable[[int, Generator], Iterator[tuple[Tensor, float]]],
    count: int,
    seed: int,
    stage: str,
    progress: ProgressCallback,
) -> tuple[Tensor, Tensor]:
    features, labels = [], []
    for number in range(count):
        for code, label in views(number, Generator().manual_seed(seed * count + number)):
            features.append(code)
            labels.append(label)
        progress(Progress(stage, number + 1, count))
    return torch.stack(features), torch.tensor(labels)


def _of_face(
    sources: FaceSources, networks: FaceNetworks, training: HeadTraining, askew: bool, generator: Generator
) -> Iterator[tuple[Tensor, float]]:
    """Yield features and labels of the crops that start from a view of a face: 0 where its landmarks are far off."""
    image, landmarks = sources.pick(generator)
    height, width = image_size(image)
    if height == width and uniform(0, 1, generator) < 0.5:
        image = degraded(image, generator)
    if uniform(0, 1, generator) < CUT:
        image, landmarks = _cut_close(image, landmarks, generator)
        height, width = image_size(image)
    low, high = (torch.tensor(eyes).log() for eyes in (SMALL, LARGE))
    scale = min(float(uniform(float(low), float(high), generator).exp() / eye_distance(landmarks)), 1.0)
    size = [max(round(n * scale), 8) for n in (height, width)]
    small = F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
    truth = landmarks * landmarks.new_tensor((size[1] / width, size[0] / height, scale))
    crop = mesh_crop(keypoints_of(truth), (size[0], size[1]), networks.mesh.config.input_size)
    crop = _turned_away(crop, generator) if askew else jittered(crop, training.views, generator)
    start = from_crop(torch.tensor(TEMPLATE) * crop.size, crop)
    for code, points in _looks(small, start[None], networks):
        error = float((points[0] - truth)[:, :2].norm(dim=-1).mean() / eye_distance(truth))
        if error < RIGHT or error > WRONG:
            yield code[0], float(error < RIGHT)


def _of_others(
    sources: FaceSources, networks: FaceNetworks, candidates: int, generator: Generator
) -> Iterator[tuple[Tensor, float]]:
    """Yield features, with the label 0, of what the detector takes for faces in a picture without any."""
    picture = faceless(sources, one_of(SIDES, generator), generator)
    if choose(2, generator):
        picture = degraded(picture, generator)
    if choose(3, generator) == 0:  # a search looks at the picture with a border as well
        border = round(BORDER * picture.shape[-1])
        picture = F.pad(picture[None], (border,) * 4, mode="replicate")[0]
    found = detect_keypoints(picture, networks, MINED)[:candidates]
    if len(found):
        for codes, _ in _looks(picture, found, networks):
            yield from ((code, 0.0) for code in codes)


def _of_mouth(
    sources: FaceSources, networks: FaceNetworks, training: HeadTraining, covered: bool, generator: Generator
) -> Iterator[tuple[Tensor, float]]:
    """Yield the features and the label of a face, as a search sees it at last."""
    image, landmarks = sources.pick(generator)
    if covered:
        image = covered_mouth(image, landmarks, generator)
    if image.shape[-1] == image.shape[-2] and choose(3, generator) == 0:
        image = retaken(image, generator)
    crop = mesh_crop(keypoints_of(landmarks), image_size(image), networks.mesh.config.input_size)
    crop = jittered(crop, replace(training.views, wild=0.0, zoom=1.1, shift=0.03), generator)
    start = from_crop(torch.tensor(TEMPLATE) * crop.size, crop)
    *_, (code, _) = _looks(image, start[None], networks)
    yield code[0], float(covered)


def _looks(picture: Tensor, keypoints: Tensor, networks: FaceNetworks) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the features (n, code) and landmarks (n, 478, 3) of every pass of the mesh, as in a search."""
    for _ in range(LOOKS):
        crops = [mesh_crop(points, image_size(picture), networks.mesh.config.input_size) for points in keypoints]
        in_crop, codes = networks.mesh.read(torch.stack([extract_crop(picture, crop) for crop in crops]))
        landmarks = torch.stack([from_crop(points, crop) for points, crop in zip(in_crop, crops, strict=True)])
        keypoints = keypoints_of(landmarks)
        yield codes, landmarks


def _cut_close(image: Tensor, landmarks: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return a picture that ends near the edges of the face, or a sixth of the face inside of them, and landmarks."""
    low, high = landmarks[:, :2].amin(0), landmarks[:, :2].amax(0)
    edges = torch.cat((low, high)) + uniform(-0.25, 0.17, generator, 4) * (high - low).repeat(2) * low.new_tensor(
        (1, 1, -1, -1)
    )
    height, width = image_size(image)
    x0, y0, x1, y1 = (round(edge) for edge in edges.tolist())
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    return image[:, y0:y1, x0:x1], landmarks - landmarks.new_tensor((x0, y0, 0))


def _turned_away(crop: Crop, generator: Generator) -> Crop:
    """Return a crop that is turned by 50 degrees or more against the face, and shifted."""
    middle = crop.matrix.new_full((2,), crop.size / 2)
    angle, zoom = uniform(0.9, 2 * torch.pi - 0.9, generator), uniform(0.6, 1.6, generator)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    turn = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos))))
    matrix = turn @ crop.matrix
    matrix[:, 2] += middle - turn @ middle + uniform(-0.3, 0.3, generator, 2) * crop.size
    return Crop(matrix, crop.size, crop.image_size)
