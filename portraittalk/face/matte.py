"""The person matte: how much of each pixel of a portrait the person covers."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import MatteConfig
from ..models.matte_net import MatteNet
from ..smooth import smoothstep
from ..tensor_files import load_configured, save_configured
from ..types import Crop
from .align import aligned_crop, extract_crop, grid_to_crop, to_crop
from .guided import box_mean, guided_maps
from .territory import territory

FILE = Path(__file__).parent.parent / "assets" / "face" / "matte.safetensors"
FORMAT = "portraittalk matte"
FINE = 2  # pixels per pixel of the network's view at which its edges are brought to those of the picture
RADIUS, SMOOTHEST = 6, 1e-4  # of the filter that does so
CLEAN = (0.04, 0.94)  # values of the network that count as nothing and as all
UNSURE = (0.25, 0.6)  # softness of the matte, averaged over half an eye distance, that begins and ends to be doubted
FACE = (0.7, 0.92)  # share of the face that the matte covers, up to which it is wrong, and from which it is right


def person_matte(
    picture: Tensor,
    landmarks: Tensor,
    box: tuple[int, int, int, int],
    on_step: Callable[[], None] = lambda: None,
    others: Tensor | None = None,
) -> Tensor:
    """Return the matte (1, h, w) in 0..1 of a person in the pixels ``box`` (x0, y0, x1, y1) of a picture (3, H, W).

    landmarks: (478, 3) of the person's face, in pixels. It is 1 where the network is not sure, and everywhere if the
    matte misses the face, so that nobody is cut. on_step: called between the parts of the work; it may raise. others:
    (N, 478, 3), faces of other people in the picture, of whom nothing is the person's.
    """
    network = load_matte_net(device=picture.device)
    size = network.config.input_size
    side = (picture.shape[-2], picture.shape[-1])
    crops = [aligned_crop(landmarks, side, size, width) for width in network.config.widths]
    views = torch.stack([extract_crop(picture, crop) for crop in crops]).float()
    with torch.no_grad():
        found = network(torch.cat((views, views.flip(-1)))).sigmoid()
    on_step()
    found = (found[: len(crops)] + found[len(crops) :].flip(-1)) / 2
    # Each view shows other surroundings; their mean keeps what both are sure of.
    factors = [width / network.config.widths[0] for width in network.config.widths]
    found = torch.stack([_narrowed(one[None], by) for one, by in zip(found, factors, strict=True)]).mean(0)
    coarse = F.interpolate(found, scale_factor=FINE, mode="bicubic").clamp(0, 1)[0]
    slope, offset = guided_maps(coarse, extract_crop(picture, crops[0], FINE * size).float(), RADIUS, SMOOTHEST)
    on_step()
    doubt = _doubt(found, to_crop(landmarks, crops[0]), round(size / network.config.widths[0] / 4))
    planes = F.interpolate(doubt, scale_factor=FINE, mode="bilinear")[0]
    shown = _in_box(torch.cat((slope, offset, planes)), crops[0], box)
    x0, y0, x1, y1 = box
    matte = (shown[:3] * picture[:, y0:y1, x0:x1].float()).sum(0, keepdim=True) + shown[3:4]
    matte = ((matte - CLEAN[0]) / (CLEAN[1] - CLEAN[0])).clamp(0, 1)
    matte = matte.lerp(torch.ones_like(matte), shown[4:].clamp(0, 1)).to(picture)
    return matte if others is None else matte * territory(picture, landmarks, others, box)


def _narrowed(matte: Tensor, factor: float) -> Tensor:
    """Return the middle of a matte (1, 1, S, S), a fraction ``1 / factor`` of its side, at the same size."""
    if factor == 1:
        return matte
    grid = F.affine_grid(torch.eye(2, 3)[None].to(matte) / factor, list(matte.shape), align_corners=False)
    return F.grid_sample(matte, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)


def _doubt(matte: Tensor, landmarks: Tensor, reach: int) -> Tensor:
    """Return how little a matte (1, 1, S, S) is to be trusted, the same shape in 0..1.

    landmarks: (478, 3) in its pixels. reach: pixels over which its softness is averaged.
    """
    soft = box_mean(4 * matte[0] * (1 - matte[0]), reach)
    local = box_mean(smoothstep((soft - UNSURE[0]) / (UNSURE[1] - UNSURE[0])), reach)[None]
    at = landmarks[None, None, :, :2].to(matte) * (2 / matte.shape[-1]) - 1
    covered = F.grid_sample(matte, at, padding_mode="border", align_corners=False).mean()
    return torch.maximum(local, 1 - smoothstep((covered - FACE[0]) / (FACE[1] - FACE[0])))


def _in_box(planes: Tensor, crop: Crop, box: tuple[int, int, int, int]) -> Tensor:
    """Sample planes (C, S, S) of an aligned crop at the pixels of a box of its picture: (C, h, w)."""
    x0, y0, x1, y1 = box
    columns = torch.arange(x0, x1, dtype=torch.float64) + 0.5
    rows = torch.arange(y0, y1, dtype=torch.float64) + 0.5
    grid = (grid_to_crop(columns, rows, crop) / crop.size * 2 - 1).to(planes)
    return F.grid_sample(planes[None], grid[None], padding_mode="border", align_corners=False)[0]


@lru_cache(maxsize=4)
def load_matte_net(path: Path = FILE, device: torch.device | str = "cpu") -> MatteNet:
    """Load the network. Raises WeightsError if the file is missing, damaged, or contains something else."""
    return load_configured(path, FORMAT, "the person matte", MatteConfig, MatteNet).to(device)


def save_matte_net(path: Path, network: MatteNet) -> None:
    """Write the network in half precision."""
    save_configured(path, FORMAT, network, network.config)
