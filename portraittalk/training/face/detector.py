"""Training of the face detector, on random scenes put together from tracked pictures."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from ...config import FaceDetectorConfig
from ...face.align import extract_crop, to_crop
from ...face.mesh import BARS, keypoints_of
from ...models.face_detector import FaceDetector
from ...types import Crop
from ..data.clips import choose, uniform
from ..trainer import Batch, Draw, TrainerConfig, fit, stacked
from .views import FaceSources, FaceViews, degraded

POINTS = 3.0  # weight of the keypoints' error
WIDE, WIDER = 0.7, 0.12  # cells, and share of the face's size: the spread of a face's middle
FACE = 2.6  # sides of a face's surroundings that belong to it, in distances from eyes to mouth


@dataclass(frozen=True)
class DetectorTraining:
    """faces: chances of 0, 1, 2, ... faces a scene. sizes: range of the distance from eyes to mouth, in sides of the
    scene. rotation: radians, standard deviation, of which ``wild`` in all is anything up to a third of a turn.
    views: its shares of pictures and videos."""

    batch: Annotated[int, Gt(0)] = 32
    faces: tuple[float, ...] = (0.12, 0.53, 0.2, 0.1, 0.05)
    sizes: tuple[float, float] = (0.03, 0.42)
    rotation: float = 0.25
    wild: float = 0.15
    views: FaceViews = field(default_factory=FaceViews)
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass(frozen=True)
class _Shown:
    """keypoints: (K, 2) in sides of the scene. hidden: share of them that is covered or outside."""

    keypoints: Tensor
    hidden: float

    @property
    def size(self) -> Tensor:
        """The distance from the eyes to the mouth."""
        return (self.keypoints[:2].mean(0) - self.keypoints[3]).norm()


def scenes(sources: FaceSources, config: FaceDetectorConfig, training: DetectorTraining) -> Draw:
    """Draws batches of ``scene`` (B, 3, S, S) in 0..1 and what ``targets`` says about each."""

    def draw(generator: Generator) -> Batch:
        return stacked(_scene(sources, config, training, generator) for _ in range(training.batch))

    return draw


def targets(faces: list[_Shown], config: FaceDetectorConfig) -> dict[str, Tensor]:
    """``likely`` (g, g) in 0..1, highest where the middle of a face is; ``counts`` (g, g), 0 about half hidden faces;
    ``keypoints`` (g, g, K, 2) and ``size`` (g, g) of the face nearest to each cell, all in sides of the scene."""
    cells = config.input_size // config.stride
    centres = (torch.arange(cells) + 0.5) / cells
    here = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    likely, counts = torch.zeros(cells, cells), torch.ones(cells, cells)
    keypoints, size = torch.zeros(cells, cells, config.keypoints, 2), torch.ones(cells, cells)
    for face in faces:
        away = (here - face.keypoints.mean(0)).square().sum(-1)
        near = torch.exp(-away / (2 * (WIDE / cells + WIDER * face.size) ** 2))
        if face.hidden > 0.5:  # may or may not be found
            counts *= (near < 0.05).float()
            continue
        nearest = near > likely
        likely = torch.maximum(likely, near)
        keypoints[nearest], size[nearest] = face.keypoints, face.size
    return {"likely": likely, "counts": counts, "keypoints": keypoints, "size": size}


def detector_loss(model: FaceDetector, batch: Batch, generator: Generator) -> dict[str, Tensor]:
    """Cross-entropy of where faces are, weighted by how wrong it is (quality focal loss, Li et al. 2020), and the
    keypoints' error in sizes of their face."""
    logits, keypoints = model(batch["scene"])
    likely = batch["likely"]
    certain = likely >= 0.8
    faces = certain.sum().clamp_min(1)
    wrong = (logits.sigmoid() - likely).abs().square()
    entropy = F.binary_cross_entropy_with_logits(logits, likely, reduction="none")
    scores = (entropy * wrong * batch["counts"]).sum() / faces
    near = (likely > 0.4) & (batch["counts"] > 0)
    off = (keypoints - batch["keypoints"])[near] / batch["size"][near][:, None, None]
    points = F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.1) if len(off) else off.sum()
    error = off.detach().norm(dim=-1).mean() if len(off) else points.detach()
    return {"loss": scores + POINTS * points, "scores": scores.detach(), "error": error}


def train_detector(
    sources: FaceSources,
    config: FaceDetectorConfig,
    training: DetectorTraining,
    out: Path,
    start: Path | None = None,
) -> nn.Module:
    """Into ``out``; returns the averaged network."""
    torch.manual_seed(training.seed)
    model = FaceDetector(config)
    if start is not None:
        model.load_state_dict(load_file(start))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    draw = scenes(sources, config, training)
    return fit(model, draw, detector_loss, training.trainer, out, training.seed)  # type: ignore[arg-type]  # fit returns the class it is given


def _scene(
    sources: FaceSources, config: FaceDetectorConfig, training: DetectorTraining, generator: Generator
) -> dict[str, Tensor]:
    side = config.input_size
    canvas = _background(sources, side, generator)
    faces: list[_Shown] = []

    def cover(covers: Tensor) -> list[_Shown]:
        return [replace(face, hidden=max(face.hidden, _hidden(face.keypoints, covers))) for face in faces]

    for _ in range(int(torch.multinomial(torch.tensor(training.faces), 1, generator=generator))):
        picture, covers, keypoints = _placed(*sources.pick(generator), side, training, generator)
        canvas = canvas.lerp(picture, covers)
        faces = [*cover(covers), _Shown(keypoints, _hidden(keypoints, 1 - covers))]
    scene = degraded(canvas, generator)
    if uniform(0, 1, generator) < 0.3:  # as ``letterbox`` does to pictures that are not square
        bar = torch.zeros(side, side)
        bar[side - choose(side // 2, generator) :] = 1
        bar = bar.T if uniform(0, 1, generator) < 0.5 else bar
        scene, faces = scene.lerp(torch.full_like(scene, BARS), bar), cover(bar)
    return {"scene": scene, **targets([face for face in faces if face.hidden < 0.9], config)}


def _background(sources: FaceSources, side: int, generator: Generator) -> Tensor:
    """A part of a picture beside its face, or nothing but colours: (3, side, side)."""
    image, landmarks = sources.pick(generator)
    low, high = landmarks[:, :2].amin(0).tolist(), landmarks[:, :2].amax(0).tolist()
    height, width = image.shape[-2:]
    for _ in range(4):
        cut = round(min(height, width) * float(uniform(0.15, 0.5, generator)))
        left, top = choose(width - cut, generator), choose(height - cut, generator)
        if left + cut < low[0] or left > high[0] or top + cut < low[1] or top > high[1]:
            part = image[None, :, top : top + cut, left : left + cut]
            turned = part.rot90(choose(4, generator), (2, 3))
            return F.interpolate(turned, (side, side), mode="bilinear", antialias=True)[0]
    cells = 2 + choose(24, generator)
    colours = uniform(0, 1, generator, 1, 3, cells, cells) * uniform(0, 1, generator) + uniform(0, 0.5, generator)
    return F.interpolate(colours, (side, side), mode=("bilinear", "nearest")[choose(2, generator)])[0].clamp(0, 1)


def _placed(
    image: Tensor, landmarks: Tensor, side: int, training: DetectorTraining, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A face somewhere in the scene: the picture (3, side, side), what it covers (side, side), keypoints (K, 2)."""
    keypoints = keypoints_of(landmarks)
    own = (keypoints[:2].mean(0) - keypoints[3]).norm()
    low, high = (torch.tensor(size).log() for size in training.sizes)
    size = uniform(float(low), float(high), generator).exp()
    angle = training.rotation * torch.randn((), generator=generator)
    if uniform(0, 1, generator) < training.wild:
        angle = uniform(-2.1, 2.1, generator)
    flip = -1.0 if uniform(0, 1, generator) < 0.5 else 1.0
    room = (0.5 - size).clamp_min(0.1)
    place = (0.5 + uniform(-1, 1, generator, 2) * room) * side
    cos, sin = angle.cos(), angle.sin()
    linear = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos)))) * (size * side / own)
    matrix = torch.cat((linear, (place - linear @ keypoints.mean(0))[:, None]), 1)
    crop = Crop(matrix, side, (image.shape[-2], image.shape[-1]))
    picture, points = extract_crop(image, crop), to_crop(keypoints, crop)
    inside = extract_crop(F.pad(torch.ones_like(image[:1, 2:-2, 2:-2]), (2, 2, 2, 2)), crop)[0] > 0.5
    axis = torch.arange(side) + 0.5
    half = FACE * size * side * uniform(0.6, 2.0, generator, 2)
    near = ((axis[None] - place[0]).abs() < half[0]) & ((axis[:, None] - place[1]).abs() < half[1])
    covers = (inside & near).float()
    if flip < 0:
        picture, covers = picture.flip(-1), covers.flip(-1)
        points = (points * points.new_tensor((-1, 1)) + points.new_tensor((side, 0)))[[1, 0, 2, 3]]
    return picture, covers, points / side


def _hidden(keypoints: Tensor, covers: Tensor) -> float:
    """The share of keypoints (K, 2), in sides, that lie where ``covers`` (S, S) is 1, or outside."""
    side = len(covers)
    x, y = (keypoints * side).long().unbind(-1)
    outside = (x < 0) | (y < 0) | (x >= side) | (y >= side)
    covered = covers[y.clamp(0, side - 1), x.clamp(0, side - 1)] > 0.5
    return float((outside | covered).float().mean())
