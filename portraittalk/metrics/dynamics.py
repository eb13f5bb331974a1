"""What a face does while speaking, as a few curves, and a small network that hears in a speech what they should be.

The network is a witness against the generator, so it shares nothing with it but the log-mel features: it was trained
by itself (``portraittalk.training.motion.adfd``) on landmarks that MediaPipe found in filmed speech.
"""

from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import gelu

from ..config import SpeechConfig
from ..errors import WeightsError
from ..face.rigid import rigid_fit, undo_rigid
from ..media.audio import Audio
from ..models.face_basis import load_basis
from ..speech.features import encode_speech
from ..tensor_files import fill, read_tensors
from ..types import Face

FILE = Path(__file__).parents[1] / "assets" / "metrics" / "adfd.safetensors"
FORMAT = "portraittalk adfd"
FPS = 25.0  # of the curves
WIDTH = 64

# (name, axis, landmarks, landmarks that their mean is measured from); axis 0: right, 1: down, 2: away from the camera.
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
    """Landmarks (F, 478, 3) in pixels -> the curves of ``MEASURES`` (F, 9) in eye distances, free of the head's pose.

    The average face is laid onto the points that speech does not move and the landmarks are taken back with it, so
    that the lengths are those of a frontal face.
    """
    mean = load_basis().mean
    frontal = undo_rigid(landmarks, *rigid_fit(mean.expand_as(landmarks), landmarks))
    curves = [frontal[:, to, axis].mean(1) - frontal[:, origin, axis].mean(1) for _, axis, to, origin in MEASURES]
    return torch.stack(curves, 1)


def measures_of_faces(faces: list[Face | None]) -> Tensor:
    """``face_measures`` of one face a frame (F, 9), NaN where there is none."""
    curves = torch.full((len(faces), len(MEASURES)), torch.nan)
    seen = [index for index, face in enumerate(faces) if face is not None]
    if seen:
        curves[seen] = face_measures(torch.stack([face.landmarks for face in faces if face is not None]))
    return curves


class DynamicsNet(nn.Module):
    """Speech features (B, F, 20, 80) at ``FPS`` -> the curves (B, F, 9) in units of ``spread``, their zero at rest.

    spread: (9,) mean standard deviation of each curve in a filmed clip, in eye distances. trust: (9,) how much each
    counts, the square of its correlation with clips that were held back in training; it sums to 1.
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
        """The curves (F, 9) that a sound lets expect, in eye distances from rest."""
        features = encode_speech(audio, FPS, SpeechConfig()).features
        return self(features[None])[0] * self.spread


@lru_cache(maxsize=2)
def load_dynamics(path: Path = FILE) -> DynamicsNet:
    """Raises WeightsError where the file is missing, damaged, or holds something else."""
    header, tensors = read_tensors(path)
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path.name} does not hold the speech-to-face predictor of ADFD: choose another file.")
    with torch.device("meta"):
        net = DynamicsNet()
    fill(net, tensors, path.name)
    return net.float().eval().requires_grad_(False)


def save_dynamics(path: Path, net: DynamicsNet) -> None:
    """Writes the network in half precision."""
    part = path.with_suffix(".part")
    save_file({name: value.half().contiguous() for name, value in net.state_dict().items()}, part, {"format": FORMAT})
    part.replace(path)
