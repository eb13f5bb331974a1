"""Drawing landmarks as a map for the structure encoder, and as the mask of what the network may change.

Lines are soft, computed from the exact distance to each segment; openings are filled with exact area coverage. Both
have subcell accuracy: a lip gap of half a cell gives 0.5, and closed lips give 0.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face import topology as mesh
from ..smooth import decayed

LINE_WIDTH = 0.7  # standard deviation of a line, in cells
MASK_SIZE = 64  # cells per side of the mask before upsampling
MASK_REGIONS = ((mesh.LOWER_FACE, 1.1), (mesh.EYE_RIGHT_RING, 1.3), (mesh.EYE_LEFT_RING[::-1], 1.3))  # and enlargement
MASK_FEATHER = 1.6  # standard deviation of the mask's edge in cells
MASK_BORDER = 4  # cells from the border of the crop over which the mask falls to zero


def _loop(points: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(points, points[1:] + points[:1], strict=True))


def _path(points: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(points))


# One channel each; the filled channels come after the lines.
LINES: dict[str, list[tuple[int, int]]] = {
    "outer lips": _loop(mesh.LIPS_OUTER),
    "inner lips": _loop(mesh.LIPS_INNER),
    "brows": _path(mesh.BROW_RIGHT_UPPER) + _path(mesh.BROW_LEFT_UPPER),
    "face oval": _loop(mesh.FACE_OVAL[::2]),
    "nose": _path(mesh.NOSE_BRIDGE) + _path(mesh.NOSE_BASE_LINE),
}
OUTSIDE = 0.25  # weight of the network's residual outside the mouth
OPENING_EDGE = 3  # kernel size in pixels of the blur of the mouth opening's edge
MAP_CHANNELS: tuple[str, ...] = (*LINES, "open mouth", "open eyes", "irises")


def landmark_map(landmarks: Tensor, crop_size: int, size: int = 64, eyes: bool = True) -> Tensor:
    """Draw landmarks (F, 478, 3) in crop pixels as maps (F, 8, size, size) in 0..1, with channels ``MAP_CHANNELS``.

    eyes: whether brows, eyes and irises can lie in the crop; in a mouth window they cannot, and their channels are 0.
    """
    points = landmarks[..., :2] * (size / crop_size)
    empty = points.new_zeros(len(points), size, size)
    lines = [
        draw_lines(points, segments, size) if eyes or name != "brows" else empty for name, segments in LINES.items()
    ]
    mouth = fill(points[:, mesh.LIPS_INNER], size)
    if not eyes:
        return torch.stack((*lines, mouth, empty, empty), 1)
    opened = (fill(points[:, mesh.EYE_RIGHT], size) + fill(points[:, mesh.EYE_LEFT].flip(1), size)).clamp(0, 1)
    irises = _disc(points[:, mesh.IRIS_RIGHT], size) + _disc(points[:, mesh.IRIS_LEFT], size)
    return torch.stack((*lines, mouth, opened, irises.clamp(0, 1) * opened), 1)


def motion_mask(source: Tensor, target: Tensor, crop_size: int) -> Tensor:
    """Return the feathered mask (F, 1, crop_size, crop_size) in 0..1 of what may differ from the warped reference.

    It covers the lower face and the eyes, in the reference and in the target. source: (478, 3), target: (F, 478, 3),
    both in crop pixels.
    """
    scale = MASK_SIZE / crop_size
    both = torch.cat((source[None], target))[..., :2] * scale
    filled = torch.stack([fill(enlarged(both[:, ring], by), MASK_SIZE) for ring, by in MASK_REGIONS]).amax(0)
    union = torch.maximum(filled[:1], filled[1:])[:, None]  # (F, 1, g, g)
    soft = blurred(union, MASK_FEATHER)
    steps = torch.arange(MASK_SIZE, device=soft.device, dtype=soft.dtype) + 0.5
    fade = (torch.minimum(steps, MASK_SIZE - steps) / MASK_BORDER).clamp(0, 1)
    small = soft * fade[:, None] * fade
    return F.interpolate(small, (crop_size, crop_size), mode="bilinear", align_corners=False)


def mouth_opening(landmarks: Tensor, crop_size: int) -> Tensor:
    """Return the mask (F, 1, crop_size, crop_size) in 0..1 between the lips. landmarks: (F, 478, 3) in crop pixels."""
    inside = fill(landmarks[:, mesh.LIPS_INNER, :2], crop_size)[:, None]
    reach = OPENING_EDGE // 2
    for axis in (-1, -2):  # sums of shifted images, faster than torch's averages over areas
        margin = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        parts = F.pad(inside, margin).unfold(axis, OPENING_EDGE, 1).unbind(-1)
        inside = parts[0] + parts[1]
        for part in parts[2:]:
            inside.add_(part)
    return inside.mul_(1 / OPENING_EDGE**2)


def drawn_share(opening: Tensor) -> Tensor:
    """Return the weight of the network's residual: 1 between the lips, ``OUTSIDE`` elsewhere.

    The warped photograph already shows skin and lips sharply; the network does not improve them for people outside its
    training data. opening: (F, 1, S, S) in 0..1, from ``mouth_opening`` -> the same shape.
    """
    return OUTSIDE + (1 - OUTSIDE) * opening


def draw_lines(points: Tensor, segments: list[tuple[int, int]], size: int) -> Tensor:
    """Draw soft lines between pairs of points (F, N, 2), given in cells: (F, size, size) in 0..1."""
    ends = points[:, torch.tensor(segments, device=points.device)]  # (F, K, 2, 2)
    middle, half = ends.mean(2), (ends[:, :, 1] - ends[:, :, 0]) / 2  # (F, K, 2)
    reach = half.norm(dim=-1, keepdim=True)
    # Any direction is valid where two points coincide.
    unit = torch.where(reach > 1e-6, half / reach.clamp_min(1e-6), half.new_tensor((1.0, 0.0)))
    normal = torch.stack((-unit[..., 1], unit[..., 0]), -1)
    # Signed distances from a segment's middle, along it and across it, are linear in the cell: one matrix product each.
    cells = _homogeneous_cells(size).to(points)  # (3, size * size)
    along, across = (
        torch.cat((axis, -(axis * middle).sum(-1, keepdim=True)), -1) @ cells for axis in (unit, normal)
    )  # (F, K, size * size)
    beyond = along.abs_().sub_(reach).clamp_min_(0)
    squared = across.square_().addcmul_(beyond, beyond).amin(1)
    return decayed(squared * (-0.5 / LINE_WIDTH**2)).view(-1, size, size)


def fill(polygon: Tensor, size: int) -> Tensor:
    """Return the covered area (F, size, size) in 0..1 of each cell for a closed polygon.

    polygon: (F, K, 2) in cells, clockwise as seen (left to right along its upper side); inverted parts count as empty.
    """
    rows, columns = touched(polygon, size)
    top, left = (torch.arange(s.start, s.stop, device=polygon.device, dtype=polygon.dtype) for s in (rows, columns))
    x0, y0 = polygon.unbind(-1)  # (F, K)
    x1, y1 = polygon.roll(-1, 1).unbind(-1)
    # Per edge and column: the width that the edge spans, signed by its direction, and its height.
    low, high = torch.minimum(x0, x1)[..., None], torch.maximum(x0, x1)[..., None]
    begin, end = torch.maximum(low, left), torch.minimum(high, left + 1)
    width = (end - begin).clamp_min(0) * torch.sign(x1 - x0)[..., None]  # (F, K, columns)
    run = torch.where((x1 - x0).abs() < 1e-6, torch.ones_like(x0), x1 - x0)
    height = y0[..., None] + ((begin + end) / 2 - x0[..., None]) * ((y1 - y0) / run)[..., None]
    below = (top[:, None] + 1 - height[:, :, None]).clamp_(0, 1)  # (F, K, rows, columns)
    filled = polygon.new_zeros(len(polygon), size, size)
    filled[:, rows, columns] = (below * width[:, :, None]).sum(1).clamp_(0, 1)
    return filled


def touched(polygon: Tensor, size: int) -> tuple[slice, slice]:
    """Return the rows and columns that polygons (F, K, 2) touch; all of them on a GPU, which would have to wait."""
    if polygon.device.type != "cpu" or not polygon.numel():
        return slice(0, size), slice(0, size)
    first, last = polygon.amin((0, 1)).floor(), polygon.amax((0, 1)).ceil()
    (x0, x1), (y0, y1) = torch.stack((first, last), 1).clamp(0, size).int().tolist()
    return slice(y0, y1), slice(x0, x1)


def _homogeneous_cells(size: int) -> Tensor:
    """Return homogeneous coordinates (3, size * size) of the cell centres, row by row."""
    steps = torch.arange(size) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((x.flatten(), y.flatten(), torch.ones(size * size)))


def _disc(iris: Tensor, size: int) -> Tensor:
    """Draw a soft disc (F, size, size) for an iris (F, 5, 2) in cells, its centre first."""
    radius = (iris[:, 1:] - iris[:, :1]).norm(dim=-1).mean(1)
    steps = torch.arange(size, device=iris.device, dtype=iris.dtype) + 0.5
    across, down = ((steps - iris[:, 0, axis, None]).square() for axis in (0, 1))
    away = (down[:, :, None] + across[:, None]).sqrt()
    return (radius[:, None, None] - away + 0.5).clamp(0, 1)


def enlarged(polygon: Tensor, factor: float) -> Tensor:
    """Scale a polygon (F, K, 2) about its mean."""
    centre = polygon.mean(1, keepdim=True)
    return centre + factor * (polygon - centre)


def blurred(image: Tensor, sigma: float, axes: tuple[int, ...] = (-1, -2), padding: str = "constant") -> Tensor:
    """Apply a Gaussian blur along some of the last two axes to (F, C, H, W).

    padding: what lies outside, as ``torch.nn.functional.pad`` calls it; zeros by default.
    """
    reach = round(3 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (steps / max(sigma, 1e-3)) ** 2)
    weights = (kernel / kernel.sum()).tolist()
    for axis in axes:
        margin = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        # A sum of shifted images: for a single channel, several times faster than a convolution.
        padded, size = F.pad(image, margin, padding), image.shape[axis]
        image = padded.narrow(axis, reach, size) * weights[reach]
        for away in range(1, reach + 1):
            for start in (reach - away, reach + away):
                image.add_(padded.narrow(axis, start, size), alpha=weights[reach + away])
    return image
