"""LPIPS (Zhang, Isola, Efros, Shechtman and Wang 2018), version 0.1 on AlexNet: a perceptual image distance."""

import torch
from torch import Tensor, nn

CHANNELS = (64, 192, 384, 256, 256)
TAPS = (1, 4, 7, 9, 11)  # indices of the ReLU layers in ``features`` whose outputs are compared
MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet, for pictures in -1..1
AT_ONCE = 16  # pictures per batch


class Lpips(nn.Module):
    """The LPIPS network.

    features: AlexNet's layers, with torchvision's keys. weights: channel weights (1, C, 1, 1) of the five layers, in
    the published file the convolutions ``lin0`` to ``lin4``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(CHANNELS[0], CHANNELS[1], 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(CHANNELS[1], CHANNELS[2], 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS[2], CHANNELS[3], 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS[3], CHANNELS[4], 3, padding=1),
            nn.ReLU(),
        )
        self.weights = nn.ParameterList(torch.zeros(1, channels, 1, 1) for channels in CHANNELS)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distances (N,), 0 if equal, of pictures (N, 3, H, W) in 0..1 with sides of at least 31 pixels."""
        distance = torch.zeros(len(first), device=first.device)
        for a, b, weights in zip(self._activations(first), self._activations(second), self.weights, strict=True):
            distance = distance + (weights * (a - b).square()).sum(1).mean((1, 2))
        return distance

    def _activations(self, pictures: Tensor) -> list[Tensor]:
        """Return the activations (N, C, h, w) of the five layers, normalised to unit length over the channels."""
        x = (2 * pictures - 1 - pictures.new_tensor(MEAN)[:, None, None]) / pictures.new_tensor(STD)[:, None, None]
        activations = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in TAPS:
                activations.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return activations


@torch.no_grad()
def lpips(net: Lpips, first: Tensor, second: Tensor) -> float:
    """Return the mean LPIPS of pictures (N, 3, H, W) in 0..1."""
    device = next(net.parameters()).device
    pairs = zip(first.split(AT_ONCE), second.split(AT_ONCE), strict=True)
    return torch.cat([net(a.to(device), b.to(device)) for a, b in pairs]).mean().item()
