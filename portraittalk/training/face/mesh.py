"""Training of the face mesh and the expression network on a teacher's landmarks and blendshapes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Generator, Tensor, nn

from ...config import FaceMeshConfig
from ...face import topology as mesh
from ...face.align import extract_crop, eye_distance
from ...face.mesh import EYE_DISTANCE, frontal
from ...models.face_mesh import ExpressionReader, FaceMesh
from ...motion.geometry import EYE_LEFT, EYE_RIGHT, LIPS
from ...tensor_files import load_into
from ...types import Crop
from ..data.clips import choose, open_clip, uniform
from ..trainer import Batch, Draw, TrainerConfig, fit
from .views import FaceSources, FaceViews, degraded, face_view, jittered, mirror_order

EXACT = (*mesh.LIPS_INNER, *mesh.LIPS_OUTER, *mesh.IRIS_RIGHT, *mesh.IRIS_LEFT)
EXACT += (*mesh.EYE_RIGHT_UPPER, *mesh.EYE_RIGHT_LOWER, *mesh.EYE_LEFT_UPPER, *mesh.EYE_LEFT_LOWER)
WEIGHT = 3.0  # weight of the landmarks of lips and eyes
DEPTH = 0.3  # weight of z, which a picture does not show directly
SMALL = 0.01  # beta of the smooth L1 loss, in eye distances
GAPS = 1.0  # weight of the error of the gaps between lips and between lids
PRESENCE = 0.05
SPEAKER_FRAMES, PORTRAIT_FRAMES = 60.0, 1.0  # weights of a speaker and of a portrait in expression training
UPPER, LOWER = (sum((getattr(seam, side) for seam in (LIPS, EYE_RIGHT, EYE_LEFT)), ()) for side in ("upper", "lower"))


@dataclass(frozen=True)
class MeshTraining:
    """absent: fraction of samples without a face."""

    batch: Annotated[int, Gt(0)] = 32
    absent: float = 0.08
    views: FaceViews = field(default_factory=FaceViews)
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def mesh_batches(sources: FaceSources, mean: Tensor, config: FaceMeshConfig, training: MeshTraining) -> Draw:
    """Return a function that draws batches of ``crop`` (B, 3, S, S) in 0..1, ``points`` (B, 478, 3) in crop pixels and
    ``present`` (B,)."""
    order = mirror_order(mean)

    def draw(generator: Generator) -> Batch:
        samples = []
        for _ in range(training.batch):
            image, landmarks = sources.pick(generator)
            if uniform(0, 1, generator) < training.absent:
                crop = _negative_view(image, landmarks, config.input_size, training.views, generator)
                samples.append((crop, torch.zeros_like(landmarks), 0.0))
            else:
                view = face_view(image, landmarks, config.input_size, order, training.views, generator)
                samples.append((*view, 1.0))
        crops, points, present = zip(*samples, strict=True)
        return {"crop": torch.stack(crops), "points": torch.stack(points), "present": torch.tensor(present)}

    return draw


def mesh_loss(model: FaceMesh, batch: Batch, generator: Generator) -> dict[str, Tensor]:
    """Return the smooth L1 loss of the landmarks in eye distances, with lips and eyes weighted highest, and of the gaps
    between lips and lids, plus the cross-entropy of face presence."""
    points, logits = model(batch["crop"])
    present = batch["present"]
    presence = F.binary_cross_entropy_with_logits(logits, present)
    predicted, target = points[present > 0], batch["points"][present > 0]
    unit = EYE_DISTANCE * model.config.input_size
    weight = target.new_ones(target.shape[1], 3)
    weight[list(EXACT)] = WEIGHT
    weight[:, 2] *= DEPTH
    error = F.smooth_l1_loss(predicted / unit, target / unit, reduction="none", beta=SMALL)
    landmarks = (error * weight).sum((1, 2)).mean() / weight.sum()
    gaps = F.smooth_l1_loss(_gaps(predicted) / unit, _gaps(target) / unit, beta=SMALL)
    nme = ((predicted - target)[..., :2].norm(dim=-1).mean(1) / eye_distance(target)).mean()
    return {
        "loss": landmarks + GAPS * gaps + PRESENCE * presence,
        "gaps": gaps.detach(),
        "presence": presence.detach(),
        "nme": nme.detach(),
    }


def _gaps(points: Tensor) -> Tensor:
    return points[:, LOWER, :2] - points[:, UPPER, :2]


def _negative_view(image: Tensor, landmarks: Tensor, size: int, views: FaceViews, generator: Generator) -> Tensor:
    """Return a negative sample (3, size, size): a part of the picture beside the face, which may be cut off, or random
    colours."""
    low, high = landmarks[:, :2].amin(0), landmarks[:, :2].amax(0)
    side = float((high - low).max()) * float(uniform(0.3, 1.2, generator))
    angle = uniform(0, 6.2832, generator)
    middle = (low + high) / 2 + torch.stack((angle.cos(), angle.sin())) * (high - low) * uniform(0.75, 1.2, generator)
    linear = torch.eye(2) * (size / side)
    matrix = torch.cat((linear, (size / 2 - linear @ middle)[:, None]), 1)
    crop = jittered(Crop(matrix, size, (image.shape[-2], image.shape[-1])), views, generator)
    view = extract_crop(image, crop)
    if choose(4, generator) == 0:  # random shapes and colours
        cells = 2 + choose(16, generator)
        view = F.interpolate(uniform(0, 1, generator, 1, 3, cells, cells), (size, size), mode="bicubic")[0].clamp(0, 1)
    return degraded(view, generator)


def train_mesh(
    sources: FaceSources,
    mean: Tensor,
    config: FaceMeshConfig,
    training: MeshTraining,
    out: Path,
    start: Path | None = None,
) -> nn.Module:
    """Train the mesh into ``out``; return the EMA network. mean: (478, 3), average frontal face in eye distances."""
    torch.manual_seed(training.seed)
    model = FaceMesh(config)
    fill_template(model, mean)
    if start is not None:
        load_into(model, start)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    draw = mesh_batches(sources, mean, config, training)
    return fit(model, draw, mesh_loss, training.trainer, out, training.seed)  # type: ignore[arg-type]  # fit returns the class it is given


def fill_template(model: FaceMesh, mean: Tensor) -> None:
    """Initialise a new network to predict the average face at its place in the crop."""
    from ...models.face_mesh import SPREAD

    middle = mean.new_tensor((0, 0.36, 0))  # eye distances: the point that ``mesh_crop`` centres
    nn.init.normal_(model.points.weight, std=1e-3)
    with torch.no_grad():
        model.points.bias.copy_(((mean - middle) * EYE_DISTANCE / SPREAD).flatten())


@dataclass(frozen=True)
class ExpressionTraining:
    """noise: standard deviation of landmark noise, in eye distances."""

    batch: Annotated[int, Gt(0)] = 256
    noise: float = 0.004
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def train_expression(
    clips: list[Path], mean: Tensor, config: FaceMeshConfig, training: ExpressionTraining, out: Path
) -> nn.Module:
    """Train the expression network on clips with a teacher's landmarks and blendshapes."""
    torch.manual_seed(training.seed)
    model = ExpressionReader(config)
    model.mean.copy_(mean)
    points = torch.cat([frontal(open_clip(path).landmarks, mean) for path in clips])
    shapes = torch.cat([open_clip(path).blendshapes for path in clips])
    # Speakers have equal weights, and so have portraits: otherwise the speaker with most clips would dominate.
    lengths = [len(open_clip(path)) for path in clips]
    speakers = [path.stem.split("_")[0] if n > 1 else path.stem for path, n in zip(clips, lengths, strict=True)]
    frames = {name: sum(n for s, n in zip(speakers, lengths, strict=True) if s == name) for name in set(speakers)}
    weights = torch.tensor(
        [
            PORTRAIT_FRAMES if n == 1 else SPEAKER_FRAMES / frames[name]
            for name, n in zip(speakers, lengths, strict=True)
            for _ in range(n)
        ]
    )

    def draw(generator: Generator) -> Batch:
        rows = torch.multinomial(weights, training.batch, True, generator=generator)
        noise = training.noise * torch.randn((len(rows), *mean.shape), generator=generator)
        return {"points": points[rows] + noise, "shapes": shapes[rows]}

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        predicted = network(batch["points"])
        error = (predicted - batch["shapes"]).abs().mean()
        return {"loss": error + 10 * F.mse_loss(predicted, batch["shapes"]), "l1": error.detach()}

    return fit(model, draw, loss, training.trainer, out, training.seed)
