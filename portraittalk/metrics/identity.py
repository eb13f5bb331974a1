"""How much the person in a video is still the person of the portrait, by the features of a small network of ours.

The network is the encoder of an earlier IdentityNet of ``mini``, trained on whole crops of faces to come near the
embeddings of a face recogniser (see ``assets/metrics/README.md``). It is part of no generator.
"""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..config import IdentityNetConfig
from ..face.align import aligned_crop, extract_crop
from ..models.identity_net import IdentityEncoder
from ..tensor_files import load_configured
from ..types import Face, image_size

FILE = Path(__file__).parents[1] / "assets" / "metrics" / "identity.safetensors"
FORMAT = "portraittalk identity encoder"
CROP = 256  # pixels of the aligned crops that the encoder was trained on


@lru_cache(maxsize=1)
def load_identity_encoder(path: Path = FILE) -> IdentityEncoder:
    """Load the encoder. Raises WeightsError."""
    return load_configured(path, FORMAT, "the identity encoder", IdentityNetConfig, IdentityEncoder)


@torch.no_grad()
def identity_embedding(image: Tensor, face: Face) -> Tensor:
    """Return the embedding (D,), of unit length, of a face in a picture (3, H, W) in 0..1."""
    net = load_identity_encoder()
    crop = aligned_crop(face.landmarks, image_size(image), CROP)
    return net.embed(net(extract_crop(image, crop, CROP)[None]))[0]
