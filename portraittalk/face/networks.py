"""Loading and saving our face landmarker's networks, one file that ships with the package and serves all models."""

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checks import first_line
from ..config import FaceDetectorConfig, FaceMeshConfig, rebuilt
from ..errors import WeightsError
from ..models.face_detector import FaceDetector
from ..models.face_mesh import ExpressionReader, FaceMesh
from ..tensor_files import fill, read_tensors, write_tensors

FILE = Path(__file__).parent.parent / "assets" / "face" / "landmarker.safetensors"
FORMAT = "portraittalk face"


class FaceNetworks(nn.Module):
    """The face detector, the face mesh and the blendshape regressor."""

    def __init__(self, detector: FaceDetectorConfig, mesh: FaceMeshConfig) -> None:
        super().__init__()
        self.detector, self.mesh, self.expression = FaceDetector(detector), FaceMesh(mesh), ExpressionReader(mesh)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


@lru_cache(maxsize=4)
def load_face_networks(path: Path = FILE, device: torch.device | str = "cpu") -> FaceNetworks:
    """Load the networks. Raises WeightsError if the file is missing, damaged, or contains something else."""
    header, tensors = read_tensors(path)
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path.name} does not contain weights of the face landmarker: choose another file.")
    try:
        configs = json.loads(header["config"])
        detector = rebuilt(FaceDetectorConfig, configs["detector"])
        mesh = rebuilt(FaceMeshConfig, configs["mesh"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} is for another version of PortraitTalk ({first_line(error)}): get the file for this version."
        ) from error
    with torch.device("meta"):
        networks = FaceNetworks(detector, mesh)
    fill(networks, tensors, path.name)
    return networks.to(device, torch.float32).eval().requires_grad_(False)


def save_face_networks(path: Path, networks: FaceNetworks) -> None:
    """Write the networks in half precision."""
    config = {"detector": asdict(networks.detector.config), "mesh": asdict(networks.mesh.config)}
    tensors: dict[str, Tensor] = {name: value.half() for name, value in networks.state_dict().items()}
    write_tensors(path, tensors, {"format": FORMAT, "config": json.dumps(config)})
