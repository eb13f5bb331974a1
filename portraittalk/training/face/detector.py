"""Training of the face detector on random scenes composed from tracked pictures."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Generator, Tensor, nn

from ...config import FaceDetectorConfig
from ...face.align import extract_crop, to_crop
from ...face.mesh import BARS, keypoints_of
from ...models.face_detector import FaceDetector
from ...tensor_files import load_into
from ...types import Crop
from ..data.clips import choose, uniform
from ..trainer import Batch, Draw, TrainerConfig, fit, stacked
from .views import FaceSources, FaceViews, degraded

POINTS = 3.0  # weight of the keypoint loss
WIDE, WIDER = 0.7, 0.12  # standard deviation of a face's heat map: cells, plus fraction of the face size
FACE = 2.6  # half side of the patch pasted with a face, in distances from eyes to mouth


@dataclass(frozen=True)
class DetectorTraining:
    """faces: probabilities of 0, 1, 2, ... faces per scene. sizes: range of the distance from eyes to mouth, in scene
    sides. rotation: standard deviation in radians; a fraction ``wild`` turns by up to a third of a full turn instead.
    views: fractions of pictures and videos."""

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
    """A face in a scene. keypoints: (K, 2) in scene sides. hidden: fraction of them that is covered or outside."""

    keypoints: Tensor
    hidden: float

    @property
    def size(self) -> Tensor:
        """Distance from the eyes to the mouth, in scene sides."""
        return (self.keypoints[:2].mean(0) - self.keypoints[3]).norm()


def scenes(sources: FaceSources, config: FaceDetectorConfig, training: DetectorTraining) -> Draw:
    """Return a function that draws batches of ``scene`` (B, 3, S, S) in 0..1 with their ``targets``."""

    def draw(generator: Generator) -> Batch:
        return stacked(_scene(sources, config, training, generator) for _ in range(training.batch))

    return draw


def targets(faces: list[_Shown], config: FaceDetectorConfig) -> dict[str, Tensor]:
    """Return the training targets of a scene on the detector's g x g grid.

    ``likely`` (g, g) is a heat map in 0..1 that peaks at the centres of faces; ``counts`` (g, g) is 0 where cells are
    ignored, around mostly hidden faces; ``keypoints`` (g, g, K, 2) and ``size`` (g, g) are those of each cell's nearest
    face, in scene sides.
    """
    cells = config.input_size // config.stride
    centres = (torch.arange(cells) + 0.5) / cells
    cell_centres = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    likely, counts = torch.zeros(cells, cells), torch.ones(cells, cells)
    keypoints, size = torch.zeros(cells, cells, config.keypoints, 2), torch.ones(cells, cells)
    for face in faces:
        squared_distance = (cell_centres - face.keypoints.mean(0)).square().sum(-1)
        heat = torch.exp(-squared_distance / (2 * (WIDE / cells + WIDER * face.size) ** 2))
        if face.hidden > 0.5:  # neither a positive nor a negative
            counts *= (heat < 0.05).float()
            continue
        nearest = heat > likely
        likely = torch.maximum(likely, heat)
        keypoints[nearest], size[nearest] = face.keypoints, face.size
    return {"likely": likely, "counts": counts, "keypoints": keypoints, "size": size}


def detector_loss(model: FaceDetector, batch: Batch, generator: Generator) -> dict[str, Tensor]:
    """Return the quality focal loss of the face scores (Li et al. 2020) plus a smooth L1 loss of the keypoints in units
    of the face size."""
    logits, keypoints = model(batch["scene"])
    likely = batch["likely"]
    positives = likely >= 0.8
    faces = positives.sum().clamp_min(1)
    modulation = (logits.sigmoid() - likely).abs().square()
    entropy = F.binary_cross_entropy_with_logits(logits, likely, reduction="none")
    scores = (entropy * modulation * batch["counts"]).sum() / faces
    regressed = (likely > 0.4) & (batch["counts"] > 0)
    offsets = (keypoints - batch["keypoints"])[regressed] / batch["size"][regressed][:, None, None]
    points = F.smooth_l1_loss(offsets, torch.zeros_like(offsets), beta=0.1) if len(offsets) else offsets.sum()
    error = offsets.detach().norm(dim=-1).mean() if len(offsets) else points.detach()
    return {"loss": scores + POINTS * points, "scores": scores.detach(), "error": error}


def train_detector(
    sources: FaceSources,
    config: FaceDetectorConfig,
    training: DetectorTraining,
    out: Path,
    start: Path | None = None,
) -> nn.Module:
    """Train the detector into ``out``; return the EMA network."""
    torch.manual_seed(training.seed)
    model = FaceDetector(config)
    if start is not None:
        load_into(model, start)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    draw = scenes(sources, config, training)
    return fit(model, draw, detector_loss, training.trainer, out, training.seed)  # type: ignore[arg-type]  # fit returns the class it is given


def _scene(
    sources: FaceSources, config: FaceDetectorConfig, training: DetectorTraining, generator: Generator
) -> dict[str, Tensor]:
    side = config.input_size
    canvas = _background(sources, side, generator)
    faces: list[_Shown] = []

    def occluded_by(mask: Tensor) -> list[_Shown]:
        return [replace(face, hidden=max(face.hidden, _hidden(face.keypoints, mask))) for face in faces]

    for _ in range(int(torch.multinomial(torch.tensor(training.faces), 1, generator=generator))):
        picture, mask, keypoints = _placed(*sources.pick(generator), side, training, generator)
        canvas = canvas.lerp(picture, mask)
        faces = [*occluded_by(mask), _Shown(keypoints, _hidden(keypoints, 1 - mask))]
    scene = degraded(canvas, generator)
    if uniform(0, 1, generator) < 0.3:  # imitates ``letterbox``, which pads pictures that are not square
        bar = torch.zeros(side, side)
        bar[side - choose(side // 2, generator) :] = 1
        bar = bar.T if uniform(0, 1, generator) < 0.5 else bar
        scene, faces = scene.lerp(torch.full_like(scene, BARS), bar), occluded_by(bar)
    return {"scene": scene, **targets([face for face in faces if face.hidden < 0.9], config)}


def _background(sources: FaceSources, side: int, generator: Generator) -> Tensor:
    """Return a background (3, side, side): a patch of a picture without its face, or random colours."""
    image, landmarks = sources.pick(generator)
    low, high = landmarks[:, :2].amin(0).tolist(), landmarks[:, :2].amax(0).tolist()
    height, width = image.shape[-2:]
    for _ in range(4):
        cut = round(min(height, width) * float(uniform(0.15, 0.5, generator)))
        left, top = choose(width - cut, generator), choose(height - cut, generator)
        if left + cut < low[0] or left > high[0] or top + cut < low[1] or top > high[1]:
            patch = image[None, :, top : top + cut, left : left + cut]
            rotated = patch.rot90(choose(4, generator), (2, 3))
            return F.interpolate(rotated, (side, side), mode="bilinear", antialias=True)[0]
    cells = 2 + choose(24, generator)
    colours = uniform(0, 1, generator, 1, 3, cells, cells) * uniform(0, 1, generator) + uniform(0, 0.5, generator)
    return F.interpolate(colours, (side, side), mode=("bilinear", "nearest")[choose(2, generator)])[0].clamp(0, 1)


def _placed(
    image: Tensor, landmarks: Tensor, side: int, training: DetectorTraining, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Place a face in the scene; return the picture (3, side, side), its mask (side, side) and keypoints (K, 2)."""
    keypoints = keypoints_of(landmarks)
    source_size = (keypoints[:2].mean(0) - keypoints[3]).norm()
    low, high = (torch.tensor(size).log() for size in training.sizes)
    size = uniform(float(low), float(high), generator).exp()
    angle = training.rotation * torch.randn((), generator=generator)
    if uniform(0, 1, generator) < training.wild:
        angle = uniform(-2.1, 2.1, generator)
    flip = -1.0 if uniform(0, 1, generator) < 0.5 else 1.0
    margin = (0.5 - size).clamp_min(0.1)
    centre = (0.5 + uniform(-1, 1, generator, 2) * margin) * side
    cos, sin = angle.cos(), angle.sin()
    linear = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos)))) * (size * side / source_size)
    matrix = torch.cat((linear, (centre - linear @ keypoints.mean(0))[:, None]), 1)
    crop = Crop(matrix, side, (image.shape[-2], image.shape[-1]))
    picture, points = extract_crop(image, crop), to_crop(keypoints, crop)
    inside = extract_crop(F.pad(torch.ones_like(image[:1, 2:-2, 2:-2]), (2, 2, 2, 2)), crop)[0] > 0.5
    axis = torch.arange(side) + 0.5
    half = FACE * size * side * uniform(0.6, 2.0, generator, 2)
    near = ((axis[None] - centre[0]).abs() < half[0]) & ((axis[:, None] - centre[1]).abs() < half[1])
    mask = (inside & near).float()
    if flip < 0:
        picture, mask = picture.flip(-1), mask.flip(-1)
        points = (points * points.new_tensor((-1, 1)) + points.new_tensor((side, 0)))[[1, 0, 2, 3]]
    return picture, mask, points / side


def _hidden(keypoints: Tensor, mask: Tensor) -> float:
    """Return the fraction of keypoints (K, 2), in scene sides, that lie outside or where ``mask`` (S, S) is 1."""
    side = len(mask)
    x, y = (keypoints * side).long().unbind(-1)
    outside = (x < 0) | (y < 0) | (x >= side) | (y >= side)
    covered = mask[y.clamp(0, side - 1), x.clamp(0, side - 1)] > 0.5
    return float((outside | covered).float().mean())
