"""Fitting of the expression basis: ridge regression on tracked clips, regularised towards the shapes of ICT-FaceKit.

Tracked speech shows how MediaPipe's coefficients move MediaPipe's landmarks, but rarely contains smiles, puffed cheeks
or raised brows. ICT-FaceKit (MIT) has every shape, modelled by hand on another mesh. Its vertices are matched to the
landmarks by running the landmark provider on rendered faces; the ridge pulls each coefficient towards ICT's shape as
far as the data do not determine it.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...arkit import ARKIT_INDEX, ARKIT_NAMES
from ...face.align import EYE_OUTER
from ...face.detect import FaceProvider
from ...face.rigid import apply_rigid, rigid_fit
from ...face.topology import IRIS_LEFT, IRIS_RIGHT
from ...models.face_basis import FaceBasis
from ...motion.geometry import lip_aperture
from ...motion.lip_curves import ROWS as LIP_ROWS
from ...tensor_files import check_tensors, read_tensors, write_tensors
from ..data.tracks import read_track
from .ict import read_ict

logger = logging.getLogger(__name__)

ICT_FACE_VERTICES = 9409
ICT_SIDES = ("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekRaiser", "cheekSquint", "eyeBlink",
             "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")  # fmt: skip
IRIS = (0.2, 0.15, 0.1)  # colour of the iris, drawn where the cosine of the eyeball's normal to the front exceeds:
IRIS_COSINE = 0.88
RENDER_SIZE = 384
RENDER_SCALE = 13.5  # pixels per ICT unit (about a centimetre)
RENDER_CENTRE = (0.0, 1.0)
SAMPLES_PER_TRIANGLE = 40
WHITE = (0.95, 0.95, 0.95)
COLOURS = {
    "M_Face": (0.80, 0.62, 0.52),
    "M_BackHead": (0.75, 0.58, 0.48),
    "M_Teeth": (0.95, 0.93, 0.88),
    "M_GumsTongue": (0.60, 0.25, 0.25),
    "M_ScleraLeft": WHITE,
    "M_ScleraRight": WHITE,
}
PROBES: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.6},
    {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.3},
    {"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8, "mouthFunnel": 0.7},
)
RIDGE = 10.0  # strength of the pull towards ICT, in units of (coefficient^2 x frames)
FIXED = 1e9  # a pull strong enough to keep ICT's shape
LOWER_FACE = 0.33  # eye distances below the eyes at which the lower face begins
APERTURE_RIDGE = 2.0
REST = 0.012  # eye distances: 95th percentile of the aperture predicted from the coefficients of closed lips
OPENING = 1.15  # compensates open lips for the subtracted REST and for the shrinkage by the ridge
PORTRAIT_WEIGHT = 0.2  # weight of a portrait relative to a frame: people differ in more than expression


class Ict:
    """ICT-FaceKit from an .npz: vertices V (N, 3), faces F (T, 3, 2), materials M (T,), expressions E (57, N, 3)."""

    def __init__(self, path: Path) -> None:
        vertices, faces, self.materials, shapes = read_ict(path, "VFME")
        self.vertices = torch.from_numpy(vertices)
        self.faces = torch.from_numpy(faces[:, :, 0].astype(np.int64))
        self.shapes = _arkit_shapes(torch.from_numpy(shapes.astype(np.float32)))  # (52, N, 3)

    def posed(self, expression: dict[str, float]) -> Tensor:
        return self.vertices + sum((weight * self.shapes[ARKIT_INDEX[n]] for n, weight in expression.items()), 0)


def read_basis(path: Path) -> FaceBasis:
    """Load a fitted basis from a file written by this module or by ``weights pack``. Raises WeightsError."""
    basis = FaceBasis()
    tensors = {name.removeprefix("basis."): value.float() for name, value in read_tensors(path)[1].items()}
    check_tensors(basis.state_dict(), tensors, path.name)
    basis.load_state_dict(tensors)
    return basis


def _arkit_shapes(shapes: Tensor) -> Tensor:
    """Convert ICT's expressions (57, N, 3), in the alphabetical order of its files, to (52, N, 3) as in ARKIT_NAMES."""
    names = ["PupilDilateLeft", "PupilDilateRight"]
    names += [stem + side for stem in ICT_SIDES for side in ("Left", "Right")]
    names += [name for name in ARKIT_NAMES if name.startswith(("jaw", "mouth", "nose"))]
    by_name = dict(zip(names, shapes, strict=True))
    for both in ("browInnerUp", "cheekPuff"):
        by_name[both] = by_name[both + "Left"] + by_name[both + "Right"]
    by_name["tongueOut"] = torch.zeros_like(shapes[0])
    return torch.stack([by_name[name] for name in ARKIT_NAMES])


def render(ict: Ict, vertices: Tensor) -> Tensor:
    """Render posed vertices from the front, simply shaded: (3, S, S). Triangles are point-sampled and depth-sorted."""
    generator = torch.Generator().manual_seed(0)
    weights = -torch.rand(SAMPLES_PER_TRIANGLE, 3, generator=generator).log()  # uniform over a triangle
    weights = weights / weights.sum(1, keepdim=True)
    visible = np.isin(ict.materials, list(COLOURS))
    corners = vertices[ict.faces[torch.from_numpy(visible)]]  # (T, 3, 3)
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-9)
    light = torch.tensor([0.25, 0.45, 0.86])
    shade = 0.35 + 0.65 * (normals @ light).clamp_min(0)
    colours = torch.tensor([COLOURS[name] for name in ict.materials[visible]])
    eyes = torch.from_numpy(np.char.startswith(ict.materials[visible], "M_Sclera"))
    colours[eyes & (normals[:, 2] > IRIS_COSINE)] = torch.tensor(IRIS)
    colours = colours * shade[:, None]
    points = torch.einsum("sk,tkd->tsd", weights, corners).reshape(-1, 3)
    cells = _to_pixels(points[:, :2]).floor().long()
    inside = ((cells >= 0) & (cells < RENDER_SIZE)).all(1)
    order = points[:, 2].argsort()  # back to front: the last write wins
    order = order[inside[order]]
    flat = (cells[:, 1] * RENDER_SIZE + cells[:, 0])[order]
    last = torch.full((RENDER_SIZE**2,), -1)
    last.scatter_reduce_(0, flat, torch.arange(len(order)), "amax")
    picture = torch.full((RENDER_SIZE**2, 3), 0.45)
    hit = last >= 0
    picture[hit] = colours[order[last[hit]] // SAMPLES_PER_TRIANGLE]
    return picture.T.reshape(3, RENDER_SIZE, RENDER_SIZE)


def _to_pixels(points: Tensor) -> Tensor:
    centred = (points - torch.tensor(RENDER_CENTRE)) * RENDER_SCALE
    return centred * torch.tensor([1.0, -1.0]) + RENDER_SIZE / 2


def landmark_vertices(ict: Ict, provider: FaceProvider) -> Tensor:
    """Match each landmark to the vertex of ICT's face that is nearest over all probe renders: (478,) indices."""
    cost = torch.zeros(1)
    for probe in PROBES:
        posed = ict.posed(probe)
        (face,) = provider(render(ict, posed))
        vertices = posed[:ICT_FACE_VERTICES]
        flat = torch.cdist(face.landmarks[:, :2], _to_pixels(vertices[:, :2])).square()
        depth = -face.landmarks[:, 2:] / RENDER_SCALE
        front = depth - depth.max() + vertices[:, 2].max()  # aligned at the tip of the nose
        cost = cost + flat + (0.15 * RENDER_SCALE * (front - vertices[:, 2])).square()
    return cost.argmin(1)


def ict_prior(ict: Ict, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return ICT's shapes (52, 478, 3) and neutral face (478, 3) at the landmarks, in eye distances and basis axes."""
    axes = torch.tensor([1.0, -1.0, -1.0])
    face = ict.vertices[indices] * axes
    distance = (face[EYE_OUTER[1]] - face[EYE_OUTER[0]]).norm()
    face = (face - (face[EYE_OUTER[0]] + face[EYE_OUTER[1]]) / 2) / distance
    return ict.shapes[:, indices] * axes / distance, face


def mirror_landmarks(face: Tensor) -> Tensor:
    """Return the mirror landmark of each landmark of a frontal face (478, 3): (478,) indices.

    Those of the lips lie so close together at the corners that the nearest one may belong to another row.
    """
    mirror = torch.cdist(_flipped(face), face).argmin(1)
    for row in LIP_ROWS:
        mirror[list(row)] = torch.tensor(row[::-1])
    return mirror


def _flipped(points: Tensor) -> Tensor:
    return points * torch.tensor([-1.0, 1.0, 1.0])


MIRRORED_NAMES = [
    ARKIT_INDEX[n.replace("Left", "#").replace("Right", "Left").replace("#", "Right")] for n in ARKIT_NAMES
]


def fit(
    clips: Iterable[tuple[Tensor, Tensor]], portraits: tuple[Tensor, Tensor], prior: Tensor, face: Tensor
) -> FaceBasis:
    """Fit the expression basis.

    clips: (landmarks (T, 478, 3), coefficients (T, 52)) of one person each. portraits: the same, of many people.
    prior (52, 478, 3), face (478, 3): output of ``ict_prior``.
    """
    aligned_portraits = _aligned(portraits[0], face)
    average = aligned_portraits.mean(0)  # lips slightly open, so mirroring does not confuse upper and lower points
    mirror = mirror_landmarks(average)
    mean = (average + _flipped(average[mirror])) / 2
    count = len(ARKIT_NAMES)
    gram = torch.zeros(count, count, dtype=torch.double)
    moment = torch.zeros(count, prior[0].numel(), dtype=torch.double)
    lips = ApertureFit()
    frames = 0

    def add(landmarks: Tensor, coefficients: Tensor, weight: float) -> None:
        nonlocal gram, moment, frames
        moved, shown = _aligned(landmarks, mean), coefficients
        for points, values in ((moved, shown), (_flipped(moved[:, mirror]), shown[:, MIRRORED_NAMES])):
            y = (points - points.mean(0)).flatten(1).double()
            x = (values - values.mean(0)).double()
            gram, moment = gram + weight * x.T @ x, moment + weight * x.T @ y
        frames += len(landmarks)
        lips.add(lip_aperture(landmarks), coefficients, weight)

    for landmarks, coefficients in clips:
        add(landmarks, coefficients, 1.0)
    add(*portraits, PORTRAIT_WEIGHT)
    # Upper-face coefficients do not move the lower face nor the reverse, although they correlate in one person's
    # speech, and gaze correlates with head turns: in these cases ICT's shapes are kept.
    below = (mean[:, 1] > LOWER_FACE).repeat_interleave(3)
    above_names = torch.tensor([name.startswith(("eye", "brow")) for name in ARKIT_NAMES])
    gaze_names = torch.tensor([name.startswith("eyeLook") for name in ARKIT_NAMES])
    start = prior.flatten(1).double()
    solved = torch.empty_like(start)
    for points, fixed in ((below, above_names), (~below, ~above_names | gaze_names)):
        pull = torch.where(fixed, FIXED, RIDGE).double().diag()
        residual = moment[:, points] - gram @ start[:, points]
        solved[:, points] = start[:, points] + torch.linalg.solve(gram + pull, residual)
    shapes = solved.float().view_as(prior)
    shapes[:, IRIS_RIGHT + IRIS_LEFT] = 0  # gaze moves the irises in motion.geometry
    basis = FaceBasis()
    basis.expression.copy_(shapes)
    basis.mean.copy_(mean)
    basis.aperture.copy_(lips.solve() * OPENING)
    basis.rest.fill_(REST * OPENING)
    logger.info("Fitted the expression basis on %d frames.", frames)
    return basis


class ApertureFit:
    """Ridge regression of the lip aperture on the mouth coefficients, symmetric in left and right."""

    def __init__(self) -> None:
        mouth = torch.tensor([name.startswith(("jaw", "mouth")) for name in ARKIT_NAMES])
        self.pull = torch.where(mouth, APERTURE_RIDGE, FIXED).double().diag()
        self.gram = torch.zeros(len(ARKIT_NAMES), len(ARKIT_NAMES), dtype=torch.double)
        self.moment = torch.zeros(len(ARKIT_NAMES), dtype=torch.double)

    def add(self, aperture: Tensor, coefficients: Tensor, weight: float) -> None:
        for values in (coefficients.double(), coefficients[:, MIRRORED_NAMES].double()):
            self.gram += weight * values.T @ values
            self.moment += weight * values.T @ aperture.double()

    def solve(self) -> Tensor:
        return torch.linalg.solve(self.gram + self.pull, self.moment).float()


def _aligned(landmarks: Tensor, face: Tensor) -> Tensor:
    """Remove head pose and scale from landmarks (T, 478, 3) by a rigid fit to a frontal face in eye distances."""
    return apply_rigid(landmarks, *rigid_fit(landmarks, face.expand_as(landmarks)))


def fit_files(ict: Path, clips: list[Path], portraits: list[Path], provider: FaceProvider, out: Path) -> FaceBasis:
    """Fit the basis from ICT-FaceKit (.npz) and track files of clips and portraits, and save it as safetensors."""
    model = Ict(ict)
    prior, face = ict_prior(model, landmark_vertices(model, provider))
    stills = [read_track(path) for path in portraits]
    everyone = torch.cat([points for points, _ in stills]), torch.cat([values for _, values in stills])
    basis = fit((read_track(path) for path in clips), everyone, prior, face)
    write_tensors(out, {name: value.half() for name, value in basis.state_dict().items()})
    return basis
