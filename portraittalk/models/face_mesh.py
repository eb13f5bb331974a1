"""Networks for the dense landmarks of a face in an upright crop, and for the blendshapes that landmarks show."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pixel_unshuffle

from ..config import FaceMeshConfig
from .face_detector import GROUPS, PATCH, Residual

SPREAD = 0.2  # unit of the outputs: standard deviation of landmarks about the crop's centre, as a fraction of its side
NEAR = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # offsets in cells at which features are sampled around a landmark


class FaceMesh(nn.Module):
    """Crops (B, 3, S, S) in 0..1 -> landmarks (B, 478, 3) in crop pixels, and the logit (B,) of a face's presence.

    Landmarks are first regressed from the whole crop, then each is refined from local features at its position.
    Two linear heads on the features of the whole crop can be fitted on their own: ``presence``, the logit that the crop
    shows an upright face, and ``covered``, the logit that something is in front of its mouth.
    """

    def __init__(self, config: FaceMeshConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Sequential(nn.Conv2d(3 * PATCH**2, widths[0], 3, padding=1), Residual(widths[0]))
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual(b), Residual(b))
            for a, b in pairwise(widths)
        )
        cells = config.input_size // PATCH // 2 ** (len(widths) - 1)
        self.fold = nn.Sequential(nn.GroupNorm(GROUPS, widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], 48, 1))
        self.code = nn.Sequential(nn.Flatten(), nn.Linear(48 * cells**2, config.code), nn.SiLU())
        self.points = nn.Linear(config.code, 3 * config.points)
        self.presence, self.covered = nn.Linear(config.code, 1), nn.Linear(config.code, 1)
        self.fine, self.coarse = nn.Conv2d(widths[0], config.detail, 1), nn.Conv2d(widths[1], config.detail, 1)
        self.names = nn.Parameter(torch.randn(config.points, config.detail))
        self.refine = nn.Sequential(
            nn.Linear((2 * len(NEAR) + 1) * config.detail, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU()
        )
        self.correct = nn.Parameter(torch.zeros(config.points, 96, 3))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        points, code = self.read(crops)
        return points, self.presence(code).float()[:, 0]

    def read(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return landmarks (B, 478, 3) in crop pixels, and the features (B, code) of the whole crop."""
        x = fine = self.stem(pixel_unshuffle(crops * 2 - 1, PATCH))  # (B, C, S / 4, S / 4)
        levels = []
        for level in self.levels:
            x = level(x)
            levels.append(x)
        code = self.code(self.fold(x))
        points = self.points(code).float().unflatten(1, (-1, 3)) * SPREAD  # fractions of the side, from the centre
        details = [self._sample(layer(map), points) for layer, map in ((self.fine, fine), (self.coarse, levels[0]))]
        names = self.names.expand(len(crops), -1, -1)
        hidden = self.refine(torch.cat((*details, names), -1))  # (B, P, 96)
        correction = torch.einsum("bpc,pcd->bpd", hidden, self.correct.to(hidden)).float()
        points = points + correction * SPREAD
        middle = points.new_tensor((0.5, 0.5, 0))
        return (points + middle) * self.config.input_size, code

    def _sample(self, features: Tensor, points: Tensor) -> Tensor:
        """Sample features (B, C, n, n) around points (B, P, 3), given as in ``forward``: (B, P, 5 C)."""
        cell = 2 / features.shape[-1]
        at = points.detach()[:, :, None, :2] * 2 + points.new_tensor(NEAR) * cell  # (B, P, 5, 2)
        sampled = grid_sample(features.float(), at, padding_mode="border", align_corners=False)
        return sampled.permute(0, 2, 3, 1).flatten(2).to(features.dtype)


class ExpressionReader(nn.Module):
    """Landmarks of an upright frontal face (B, 478, 3) in eye distances -> ARKit weights (B, 52) in 0..1."""

    mean: Tensor

    def __init__(self, config: FaceMeshConfig, width: int = 160) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.points, 3))
        self.layers = nn.Sequential(
            nn.Linear(3 * config.points, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, config.blendshapes),
        )

    def forward(self, frontal: Tensor) -> Tensor:
        return self.layers(10 * (frontal - self.mean).flatten(1)).sigmoid()
