"""The Inception v3 of TensorFlow's image classifier of 2015-12-05, whose pooled features define FID.

Attribute names are the keys of the published PyTorch port, ``pt_inception-2015-12-05-6726825d.pth``. It differs from
other Inception v3 models in its pooling: average pooling excludes the padding, and the last block uses max pooling.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

SIZE = 299  # input side in pixels
DIM = 2048  # features


class Conv(NamedTuple):
    """A convolution of a block. dim: output channels. kernel: height and width."""

    name: str
    dim: int
    kernel: tuple[int, int]


class Fork(NamedTuple):
    """Two convolutions of the same input, their outputs concatenated."""

    first: Conv
    second: Conv


Step = Conv | Fork | Callable[[Tensor], Tensor]
Branches = Sequence[Sequence[Step]]
POINT, SQUARE, LARGE = (1, 1), (3, 3), (5, 5)
average = partial(avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
largest = partial(max_pool2d, kernel_size=3, stride=1, padding=1)
halve = partial(max_pool2d, kernel_size=3, stride=2)


class Unit(nn.Module):
    """A convolution with batch normalisation and ReLU."""

    def __init__(self, dim: int, out: int, kernel: tuple[int, int], stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(dim, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Parallel branches, their outputs concatenated. halves: the last convolutions have stride 2 and no padding."""

    def __init__(self, dim: int, branches: Branches, halves: bool = False) -> None:
        super().__init__()
        self.branches = branches
        for branch in branches:
            width = dim
            for step in branch:
                convs = (step,) if isinstance(step, Conv) else step if isinstance(step, Fork) else ()
                last = halves and step is branch[-1]
                for conv in convs:
                    self.add_module(conv.name, Unit(width, conv.dim, conv.kernel, 2 if last else 1, not last))
                width = sum(conv.dim for conv in convs) or width

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self.branches:
            y = x
            for step in branch:
                if isinstance(step, Conv):
                    y = self.get_submodule(step.name)(y)
                elif isinstance(step, Fork):
                    y = torch.cat([self.get_submodule(conv.name)(y) for conv in step], 1)
                else:
                    y = step(y)
            outputs.append(y)
        return torch.cat(outputs, 1)


def at_35(pooled: int) -> Branches:
    """Return the branches of a block at 35 x 35 pixels with 224 + ``pooled`` output channels."""
    return (
        (Conv("branch1x1", 64, POINT),),
        (Conv("branch5x5_1", 48, POINT), Conv("branch5x5_2", 64, LARGE)),
        (
            Conv("branch3x3dbl_1", 64, POINT),
            Conv("branch3x3dbl_2", 96, SQUARE),
            Conv("branch3x3dbl_3", 96, SQUARE),
        ),
        (average, Conv("branch_pool", pooled, POINT)),
    )


def at_17(narrow: int) -> Branches:
    """Return the branches of a block at 17 x 17 pixels with 768 output channels. narrow: channels within branches."""
    row, column = (1, 7), (7, 1)
    return (
        (Conv("branch1x1", 192, POINT),),
        (Conv("branch7x7_1", narrow, POINT), Conv("branch7x7_2", narrow, row), Conv("branch7x7_3", 192, column)),
        (
            Conv("branch7x7dbl_1", narrow, POINT),
            Conv("branch7x7dbl_2", narrow, column),
            Conv("branch7x7dbl_3", narrow, row),
            Conv("branch7x7dbl_4", narrow, column),
            Conv("branch7x7dbl_5", 192, row),
        ),
        (average, Conv("branch_pool", 192, POINT)),
    )


def at_8(pooling: Callable[[Tensor], Tensor]) -> Branches:
    """Return the branches of a block at 8 x 8 pixels with 2048 output channels."""
    row, column = (1, 3), (3, 1)
    return (
        (Conv("branch1x1", 320, POINT),),
        (
            Conv("branch3x3_1", 384, POINT),
            Fork(Conv("branch3x3_2a", 384, row), Conv("branch3x3_2b", 384, column)),
        ),
        (
            Conv("branch3x3dbl_1", 448, POINT),
            Conv("branch3x3dbl_2", 384, SQUARE),
            Fork(Conv("branch3x3dbl_3a", 384, row), Conv("branch3x3dbl_3b", 384, column)),
        ),
        (pooling, Conv("branch_pool", 192, POINT)),
    )


TO_17: Branches = (
    (Conv("branch3x3", 384, SQUARE),),
    (Conv("branch3x3dbl_1", 64, POINT), Conv("branch3x3dbl_2", 96, SQUARE), Conv("branch3x3dbl_3", 96, SQUARE)),
    (halve,),
)
TO_8: Branches = (
    (Conv("branch3x3_1", 192, POINT), Conv("branch3x3_2", 320, SQUARE)),
    (
        Conv("branch7x7x3_1", 192, POINT),
        Conv("branch7x7x3_2", 192, (1, 7)),
        Conv("branch7x7x3_3", 192, (7, 1)),
        Conv("branch7x7x3_4", 192, SQUARE),
    ),
    (halve,),
)


class Inception(nn.Module):
    """The Inception v3 network up to its pooled features, which FID compares."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, SQUARE, stride=2, padded=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, SQUARE, padded=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, SQUARE)
        self.Conv2d_3b_1x1 = Unit(64, 80, POINT)
        self.Conv2d_4a_3x3 = Unit(80, 192, SQUARE, padded=False)
        self.Mixed_5b = Mixed(192, at_35(32))
        self.Mixed_5c = Mixed(256, at_35(64))
        self.Mixed_5d = Mixed(288, at_35(64))
        self.Mixed_6a = Mixed(288, TO_17, halves=True)
        self.Mixed_6b = Mixed(768, at_17(128))
        self.Mixed_6c = Mixed(768, at_17(160))
        self.Mixed_6d = Mixed(768, at_17(160))
        self.Mixed_6e = Mixed(768, at_17(192))
        self.Mixed_7a = Mixed(768, TO_8, halves=True)
        self.Mixed_7b = Mixed(1280, at_8(average))
        self.Mixed_7c = Mixed(2048, at_8(largest))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (N, 2048) of pictures (N, 3, 299, 299) from ``inception_input``."""
        x = halve(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pictures))))  # (N, 64, 73, 73)
        x = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))  # (N, 192, 35, 35)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))  # (N, 768, 17, 17)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean((2, 3))


def inception_input(picture: Tensor) -> Tensor:
    """Return the network input (3, 299, 299) in -1..1 of a picture (3, H, W) in 0..1, quantised to 8 bits.

    Resized bilinearly as in TensorFlow 1, on which FID's published values are based: pixel k is sampled at k * H / 299,
    with the top left corners aligned and no antialiasing.
    """

    def neighbours(count: int) -> tuple[Tensor, Tensor, Tensor]:
        position = torch.arange(SIZE, dtype=torch.float32, device=picture.device) * (count / SIZE)
        low = position.long()
        return low, (low + 1).clamp_max(count - 1), position - low

    up, down, row_weight = neighbours(picture.shape[1])
    left, right, column_weight = neighbours(picture.shape[2])
    picture = (255 * picture).round()
    rows = picture[:, up].lerp(picture[:, down], row_weight[:, None])
    return (rows[..., left].lerp(rows[..., right], column_weight) - 128) / 128
