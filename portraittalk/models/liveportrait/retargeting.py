"""LivePortrait's small networks of keypoints: stitching, and retargeting of eyes and lips."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import LivePortraitConfig

HIDDEN = {"stitching": (128, 128, 64), "lips": (128, 128, 64), "eyes": (256, 256, 128, 128, 64)}


class Retargeting(nn.Module):
    """Three networks of the K keypoints (N, K, 3) of a face in its crop."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        values = 3 * config.keypoints
        self.stitching = Mlp(2 * values, HIDDEN["stitching"], values + 2)
        self.lips = Mlp(values + 2, HIDDEN["lips"], values)
        self.eyes = Mlp(values + 3, HIDDEN["eyes"], values)

    def stitched(self, source: Tensor, driving: Tensor) -> Tensor:
        """Return driving keypoints (N, K, 3) changed so that the picture fits its surroundings when pasted back.

        source: (1 or N, K, 3), the keypoints of the portrait.
        """
        both = torch.cat((source.expand_as(driving).flatten(1), driving.flatten(1)), 1)
        change = self.stitching(both)
        return driving + change[:, :-2].view_as(driving) + F.pad(change[:, None, -2:], (0, 1))

    def lip_change(self, source: Tensor, ratio: Tensor, target: Tensor) -> Tensor:
        """Return offsets (N, K, 3) of the keypoints that bring the lips from a ratio to another.

        ratio: (1 or N,), the gap between the inner lips over the width of the mouth in the portrait. target: (N,).
        """
        return self._change(self.lips, source, ratio[:, None], target)

    def eye_change(self, source: Tensor, ratios: Tensor, target: Tensor) -> Tensor:
        """Return offsets (N, K, 3) that bring both eyes from ratios to another.

        ratios: (1 or N, 2), the height of the picture's left and right eye over its width. target: (N,).
        """
        return self._change(self.eyes, source, ratios, target)

    def _change(self, network: nn.Module, source: Tensor, ratios: Tensor, target: Tensor) -> Tensor:
        count = len(target)
        inputs = (source.flatten(1).expand(count, -1), ratios.expand(count, -1), target[:, None])
        return network(torch.cat(inputs, 1)).view(count, *source.shape[1:])


class Mlp(nn.Module):
    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((inputs, *hidden, outputs)):
            layers += [nn.Linear(narrow, wide), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)
