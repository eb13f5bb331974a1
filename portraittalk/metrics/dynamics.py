"""Facial motion curves measured from landmarks, and a small network that predicts them from speech, for ADFD.

The network judges the generator and shares only the log-mel features with it: it was trained separately
(``portraittalk.training.motion.adfd``) on MediaPipe landmarks of filmed speech.
"""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from ..config import SpeechConfig
from ..errors import WeightsError
from ..face.rigid import rigid_fit, undo_rigid
from ..media.audio import Audio
from ..models.face_basis import load_basis
from ..speech.features import encode_speech
from ..tensor_files import fill, read_tensors, write_tensors
from ..types import Face

FILE = Path(__file__).parents[1] / "assets" / "metrics" / "adfd.safetensors"
FORMAT = "portraittalk adfd"
FPS = 25.0  # of the curves
WIDTH = 64

# (name, axis, landmarks, origin landmarks): the mean of the first relative to the mean of the second along the axis.
# Axis 0: right, 1: down, 2: away from the camera.
NOSE_BASE = (2, 98, 327)
MEASURES: tuple[tuple[str, int, tuple[int, ...], tuple[int, ...]], ...] = (
    ("lip aperture", 1, (87, 14, 317), (82, 13, 312)),
    ("lip height", 1, (17,), (0,)),
    ("lip width", 0, (291,), (61,)),
    ("upper lip", 1, (37, 0, 267), NOSE_BASE),
    ("lower lip", 1, (84, 17, 314), NOSE_BASE),
    ("jaw", 1, (148, 152, 377), NOSE_BASE),
    ("lip corners", 1, (61, 291), NOSE_BASE),
    ("cheeks", 0, (425,), (205,)),
    ("protrusion", 2, (0, 13, 14, 17), (2,)),
)


def face_measures(landmarks: Tensor) -> Tensor:
    """Return the curves of ``MEASURES`` (F, 9) in eye distances, independent of head pose.

    landmarks: (F, 478, 3) in pixels. A rigid fit of the mean face to the points that speech does not move is inverted,
    so that the lengths are those of a frontal face.
    """
    mean = load_basis().mean
    frontal = undo_rigid(landmarks, *rigid_fit(mean.expand_as(landmarks), landmarks))
    curves = [frontal[:, to, axis].mean(1) - frontal[:, origin, axis].mean(1) for _, axis, to, origin in MEASURES]
    return torch.stack(curves, 1)


def measures_of_faces(faces: list[Face | None]) -> Tensor:
    """Return ``face_measures`` of one face per frame (F, 9), NaN in frames without a face."""
    curves = torch.full((len(faces), len(MEASURES)), torch.nan)
    valid = [index for index, face in enumerate(faces) if face is not None]
    if valid:
        curves[valid] = face_measures(torch.stack([face.landmarks for face in faces if face is not None]))
    return curves


class DynamicsNet(nn.Module):
    """Predictor of the face curves from speech: features (B, F, 20, 80) at ``FPS`` -> curves (B, F, 9).

    The curves are relative to the rest pose, in units of ``spread``: (9,) mean standard deviation of each curve in a
    filmed clip, in eye distances. trust: (9,) weight of each curve, its squared correlation on held-out clips,
    normalised to sum to 1.
    """

    spread: Tensor
    trust: Tensor

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        speech = SpeechConfig()
        self.listen = nn.Linear(speech.steps * speech.dim, WIDTH)
        self.recall = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * WIDTH, len(MEASURES))
        self.register_buffer("spread", torch.ones(len(MEASURES)))
        self.register_buffer("trust", torch.full((len(MEASURES),), 1 / len(MEASURES)))

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.dropout(gelu(self.listen(features.flatten(2))))
        hidden, _ = self.recall(hidden)  # (B, F, 2 WIDTH)
        return self.out(self.dropout(hidden))

    @torch.no_grad()
    def curves_of(self, audio: Audio) -> Tensor:
        """Return the curves (F, 9) predicted from the audio, in eye distances relative to rest."""
        features = encode_speech(audio, FPS, SpeechConfig()).features
        return self(features[None])[0] * self.spread


@lru_cache(maxsize=2)
def load_dynamics(path: Path = FILE) -> DynamicsNet:
    """Load the predictor. Raises WeightsError if the file is missing, damaged, or contains something else."""
    header, tensors = read_tensors(path)
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path.name} is not a weights file of ADFD's speech-to-face predictor: give another file.")
    with torch.device("meta"):
        net = DynamicsNet()
    fill(net, tensors, path.name)
    return net.float().eval().requires_grad_(False)


def save_dynamics(path: Path, net: DynamicsNet) -> None:
    """Write the network in half precision."""
    write_tensors(path, {name: value.half() for name, value in net.state_dict().items()}, {"format": FORMAT})
