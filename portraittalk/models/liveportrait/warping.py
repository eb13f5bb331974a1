"""LivePortrait's warping module: moves a volume of features from the keypoints of one face to those of another.

The volume is sampled by one motion per keypoint, which shifts it as a whole, and by none. A network of what these show
says how much of each motion a place takes, and which places nothing in the portrait shows.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import LivePortraitConfig
from .blocks import ConvBlock

LEVELS = 5  # of the hourglass; height and width of the volume are multiples of 2**LEVELS
VARIANCE = 0.01  # of the Gaussians around keypoints
LEAKY = 0.01


class WarpingModule(nn.Module):
    """Volume and keypoints -> features (N, W, h, w) of the moved face."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        wide = min(config.widest, 4 * config.width)
        self.dense_motion_network = DenseMotion(config)
        self.third = ConvBlock(config.channels * config.depth, wide, slope=LEAKY)
        self.fourth = nn.Conv2d(wide, wide, 1)

    def compressed(self, volume: Tensor) -> Tensor:
        """Return the narrow volume (N, c, D, h, w) in which motions are compared; it needs no keypoints."""
        return self.dense_motion_network.compressed(volume)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor, compressed: Tensor | None = None) -> Tensor:
        """Move a volume (1 or N, C, D, h, w) from keypoints ``source`` (1 or N, K, 3) to ``driving`` (N, K, 3).

        compressed: of the volume, if it is known. Keypoints and places stay in single precision.
        """
        narrow = self.compressed(volume) if compressed is None else compressed
        places, occlusion = self.dense_motion_network(narrow, source.float(), driving.float())
        moved = sampled(volume.expand(len(driving), -1, -1, -1, -1), places)
        features = self.fourth(self.third(moved.to(volume).flatten(1, 2)))
        return features * occlusion


class DenseMotion(nn.Module):
    """Where each cell of a moved volume comes from, and how much of it is seen."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        inputs = (config.keypoints + 1) * (config.compressed + 1)
        width = inputs + config.dense_width
        self.compress = nn.Conv3d(config.channels, config.compressed, 1)
        self.norm = nn.BatchNorm3d(config.compressed)
        self.hourglass = Hourglass(inputs, config.dense_width, config.dense_widest)
        self.mask = nn.Conv3d(width, config.keypoints + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(width * config.depth, 1, 7, padding=3)

    def compressed(self, volume: Tensor) -> Tensor:
        return F.relu(self.norm(self.compress(volume)))

    def forward(self, narrow: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places (N, D, h, w, 3) in -1..1 that are sampled, and the occlusion (N, 1, h, w) in 0..1.

        narrow: (1 or N, c, D, h, w), a compressed volume.
        """
        count, size = len(driving), narrow.shape[2:]
        identity = places_of(size, driving)
        shifts = F.pad(source - driving, (0, 0, 1, 0))  # (N, K + 1, 3), the first is no motion
        motions = identity + shifts[:, :, None, None, None]  # (N, K + 1, D, h, w, 3)
        many = narrow[:, None].expand(count, motions.shape[1], -1, -1, -1, -1)
        shown = sampled(many.flatten(0, 1), motions.flatten(0, 1)).unflatten(0, (count, -1))
        heat = heatmaps(identity, driving) - heatmaps(identity, source)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None]
        x = self.hourglass(torch.cat((heat, shown), 2).flatten(1, 2).to(narrow))  # (N, width, D, h, w)
        weights = self.mask(x).float().softmax(1)
        places = torch.einsum("nkdhw,nkdhwc->ndhwc", weights, motions)
        return places, self.occlusion(x.flatten(1, 2)).sigmoid()


class Hourglass(nn.Module):
    """A network (N, C, D, h, w) -> (N, C + ``width``, D, h, w), with skips, that pools only height and width."""

    def __init__(self, inputs: int, width: int, widest: int) -> None:
        super().__init__()
        wide = [min(widest, width * 2**level) for level in range(LEVELS + 1)]
        self.encoder, self.decoder = Encoder(inputs, wide), Decoder(inputs, wide)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Encoder(nn.Module):
    """Volumes -> features of all levels, the volumes themselves first."""

    def __init__(self, inputs: int, wide: list[int]) -> None:
        super().__init__()
        pairs = pairwise((inputs, *wide[1:]))
        self.down_blocks = nn.ModuleList(ConvBlock(*pair, volume=True, pool=True) for pair in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Features of all levels -> volumes, each level joined with the encoder's. Empties the list that it is given."""

    def __init__(self, inputs: int, wide: list[int]) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(
            ConvBlock((1 if level == LEVELS else 2) * wide[level], wide[level - 1], volume=True, upsample=True)
            for level in range(LEVELS, 0, -1)
        )
        last = inputs + wide[0]
        self.conv, self.norm = nn.Conv3d(last, last, 3, padding=1), nn.BatchNorm3d(last)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels.pop()
        for block in self.up_blocks:
            x = torch.cat((block(x), levels.pop()), 1)
        return F.relu(self.norm(self.conv(x)))


def places_of(size: tuple[int, ...] | torch.Size, like: Tensor) -> Tensor:
    """Return the places (D, h, w, 3) of the cells of a volume: x, y and depth from -1 in the first to 1 in the last."""
    along = [torch.linspace(-1, 1, count, device=like.device, dtype=like.dtype) for count in size]
    depth, rows, columns = torch.meshgrid(*along, indexing="ij")
    return torch.stack((columns, rows, depth), -1)


def heatmaps(places: Tensor, points: Tensor) -> Tensor:
    """Return Gaussians (N, K, D, h, w) around points (N, K, 3)."""
    apart = (places - points[:, :, None, None, None]).square().sum(-1)
    return torch.exp(-0.5 * apart / VARIANCE)


def sampled(volume: Tensor, places: Tensor) -> Tensor:
    """Sample volumes (N, C, D, h, w) at places (N, ..., 3), in the precision of the places.

    The published networks were trained with ``align_corners=False``, though the places mean corners: so no motion is a
    slight zoom.
    """
    return F.grid_sample(volume.to(places), places, align_corners=False)
