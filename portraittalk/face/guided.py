"""The guided filter, which gives a coarse mask the edges of the picture that it was made from."""

import torch
from torch import Tensor


def guided(mask: Tensor, picture: Tensor, radius: int, smoothest: float) -> Tensor:
    """Filter a mask (1, h, w) by a picture (3, h, w) in 0..1 (He, Sun and Tang 2010).

    In every window of ``radius`` pixels about a pixel the mask becomes an affine function of the colours. smoothest:
    variance of colours below which the mask is only smoothed.
    """
    slope, offset = guided_maps(mask, picture, radius, smoothest)
    return (slope * picture).sum(0, keepdim=True) + offset


def guided_maps(mask: Tensor, picture: Tensor, radius: int, smoothest: float) -> tuple[Tensor, Tensor]:
    """Return the filter's affine functions, slope (3, h, w) and offset (1, h, w); they may be upsampled to a larger
    version of the picture (He and Sun 2015)."""
    channels = [(a, b) for a in range(3) for b in range(a, 3)]
    products = torch.stack([picture[a] * picture[b] for a, b in channels])
    means = box_mean(torch.cat((picture, mask, picture * mask, products)), radius)
    colours, mean, cross, squares = means.split((3, 1, 3, len(channels)))
    covariance = [square - colours[a] * colours[b] for (a, b), square in zip(channels, squares, strict=True)]
    slope = _solved(covariance, smoothest, cross - colours * mean)
    offset = mean - (slope * colours).sum(0, keepdim=True)
    averaged = box_mean(torch.cat((slope, offset)), radius)
    return averaged[:3], averaged[3:]


def _solved(covariance: list[Tensor], ridge: float, wanted: Tensor) -> Tensor:
    """Return the solutions (3, h, w) of ``(covariance + ridge) x = wanted`` at each pixel, by Cramer's rule.

    covariance: the planes (h, w) xx, xy, xz, yy, yz and zz of symmetric matrices. wanted: (3, h, w).
    """
    xx, xy, xz, yy, yz, zz = covariance
    xx, yy, zz = xx + ridge, yy + ridge, zz + ridge
    first = torch.stack((yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy))
    second = torch.stack((first[1], xx * zz - xz * xz, xy * xz - xx * yz))
    third = torch.stack((first[2], second[2], xx * yy - xy * xy))
    determinant = xx * first[0] + xy * first[1] + xz * first[2]
    return (first * wanted[0] + second * wanted[1] + third * wanted[2]) / determinant


def box_mean(planes: Tensor, radius: int) -> Tensor:
    """Return the means of planes (C, h, w) over windows of ``radius`` pixels to each side, cut at the borders."""
    return _line_mean(_line_mean(planes, radius, -1), radius, -2)


def _line_mean(planes: Tensor, radius: int, dim: int) -> Tensor:
    """Return the means along one dimension.

    The same numbers as ``avg_pool2d``, which adds in this order too, in a third of its time on a CPU: additions of
    whole planes are vectorised.
    """
    size = planes.shape[dim]
    reach = min(radius, size - 1)
    if reach == 1:  # the same sum in fewer passes
        total = planes.float() if planes.dtype != torch.float32 else planes.clone()
        total.narrow(dim, 1, size - 1).add_(planes.narrow(dim, 0, size - 1))
        total.narrow(dim, 0, size - 1).add_(planes.narrow(dim, 1, size - 1))
    else:
        total = torch.zeros_like(planes, dtype=torch.float32)
        for shift in range(-reach, reach + 1):
            kept = size - abs(shift)
            total.narrow(dim, max(-shift, 0), kept).add_(planes.narrow(dim, max(shift, 0), kept))
    at = torch.arange(size, device=planes.device)
    count = ((at + radius).clamp_max(size - 1) - (at - radius).clamp_min(0) + 1).to(total)
    return total.div_(count[:, None] if dim == -2 else count).to(planes)
