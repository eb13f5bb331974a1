"""I3D (Carreira and Zisserman 2017), whose logits of the 400 Kinetics actions are the features of FVD.

Attribute names are the keys of the published file ``i3d_pretrained_400.pt``. Convolutions and poolings use TensorFlow's
"same" padding: half on each side, the odd element at the end.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool3d, pad, relu

SIZE = 224  # input side in pixels
CLIP = 16  # frames
DIM = 400  # logits
Shape = tuple[int, int, int]  # time, height, width


class Unit(nn.Module):
    """A 3D convolution with batch normalisation and ReLU.

    eps is that of the FVD implementations that use this file (VideoGPT's), not the 1e-3 of DeepMind's I3D.
    """

    def __init__(self, dim: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel: Shape = (kernel, kernel, kernel)
        self.stride: Shape = (stride, stride, stride)
        self.conv3d = nn.Conv3d(dim, out, self.kernel, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv3d(padded(x, self.kernel, self.stride))))


class Pool(nn.Module):
    """Max pooling with "same" padding."""

    def __init__(self, kernel: Shape, stride: Shape) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception block of four branches.

    dims: output channels of branch 0, of the two convolutions of branches 1 and 2, and of branch 3.
    """

    def __init__(self, dim: int, dims: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Unit(dim, dims[0])
        self.b1a, self.b1b = Unit(dim, dims[1]), Unit(dims[1], dims[2], 3)
        self.b2a, self.b2b = Unit(dim, dims[3]), Unit(dims[3], dims[4], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(dim, dims[5])

    def forward(self, x: Tensor) -> Tensor:
        branches = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))
        return torch.cat(branches, 1)


class Scores(nn.Module):
    """The linear classifier, stored as a 1x1x1 convolution in the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1024, DIM, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class I3d(nn.Module):
    """The I3D network up to its logits, the features of FVD."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32))
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64))
        self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64))
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64))
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64))
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64))
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128))
        self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128))
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128))
        self.logits = Scores()

    def forward(self, clip: Tensor) -> Tensor:
        """Return the logits (400,) of frames (16, 3, 224, 224) from ``i3d_input``."""
        x = self.MaxPool3d_2a_3x3(self.Conv3d_1a_7x7(clip.transpose(0, 1)[None]))  # (1, 64, 8, 56, 56)
        x = self.MaxPool3d_3a_3x3(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)))  # (1, 192, 8, 28, 28)
        x = self.MaxPool3d_4a_3x3(self.Mixed_3c(self.Mixed_3b(x)))  # (1, 480, 4, 14, 14)
        x = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x)))))
        x = self.Mixed_5c(self.Mixed_5b(self.MaxPool3d_5a_2x2(x)))  # (1, 1024, 2, 7, 7)
        return self.logits(x.mean((2, 3, 4), keepdim=True)).flatten()


def i3d_input(frame: Tensor) -> Tensor:
    """Return the centre crop (3, 224, 224) in -1..1 of a frame (3, H, W) in 0..1, its shorter side scaled to 224.

    As in VideoGPT, the longer side is rounded up and the resize is not antialiased.
    """
    height, width = frame.shape[-2:]
    scale = SIZE / min(height, width)
    size = (SIZE, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), SIZE)
    frame = interpolate(frame[None], size, mode="bilinear", align_corners=False)[0]
    top, left = (size[0] - SIZE) // 2, (size[1] - SIZE) // 2
    return 2 * frame[:, top : top + SIZE, left : left + SIZE] - 1


def padded(x: Tensor, kernel: Shape, stride: Shape) -> Tensor:
    """Zero-pad (N, C, T, H, W) like TensorFlow's "same" padding."""
    sizes: list[int] = []
    for length, window, step in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        missing = max(window - (length % step or step), 0)
        sizes += [missing // 2, missing - missing // 2]
    return pad(x, sizes)
