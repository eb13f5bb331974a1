"""Continuing texture into what a person hides of the background, with patches of what is seen beside it.

The picture is looked at from coarse to fine. Every hidden cell gets the patch of the visible background that fits best
to what is around it (PatchMatch; Barnes et al. 2009), and the mean of the colours that the patches over it propose
(Wexler et al. 2007). The coarsest level is filled from the border inwards. At the end the picture itself is copied by
the offsets that were found, which keeps its texture and sharpness; where no patch fits, the picture that was given
shows. Nothing is random.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.guided import box_mean
from ..smooth import smoothstep
from .filling import filled
from .planes import dilated, resized, to_nearest

DENSITIES = (24.0, 48.0)  # cells an eye distance of each level
ROUNDS = (2, 1)  # of searching and averaging at each
REACH = 2  # cells to each side of a patch
LENDERS = 1.5  # eye distances around hidden cells in which patches are looked for
EVERY, FEW = 2, 2000  # cells between the patches that the search looks at, if there are more than so many
NEARNESS = 0.001  # squared difference of colours that weighs as much as one eye distance to a patch
TRUST = 0.75  # in a cell, relative to that in its neighbour one cell nearer to the border
MISFIT = 0.0015  # squared difference of colours at which half of a copy is shown: worse ones are shards
ROUGH = 4.0  # what is added to that, relative to the squared fine structure of the background
FITS = 0.75  # quantile of the differences of patches that counts as a good fit
STEPS = (1, 4, 1, 0)  # cells to the neighbours whose offsets are tried; 0: offsets one cell longer
TURNS = ((0, 1), (0, -1), (1, 0), (-1, 0))
NO_LENDER = 10.0  # squared difference of what may not be copied: more than that of any two colours
AT_ONCE = 2**22  # differences between patches
FADING = 0.75  # of the way inside, from where on copies fade out
WHOLE = 0.999  # known share of a cell that counts as known


def patched(
    picture: Tensor,
    known: Tensor,
    wanted: Tensor,
    eye: float,
    farthest: float,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return a picture (3, H, W) with its known part continued into the rest by patches of itself.

    picture: filled in, calmly, where it is not known. known: (1, H, W), 0 or 1. wanted: (1, H, W), above 0 where
    patches may be put. eye: the distance of the eyes in pixels. farthest: eye distances from the known part over which
    patches are put, and fade out; beyond, and where nothing can be copied, the picture stays as it is.
    on_step: called between the parts of the work; it may raise.
    """
    level: Level | None = None
    offsets: Tensor | None = None
    misfit = picture.new_zeros(())
    for density, rounds in zip(DENSITIES, ROUNDS, strict=True):
        if level is not None and density > eye:
            break
        coarse, level = level, Level.of(picture, known, wanted, eye, min(density / eye, 1), farthest)
        if not level.targets.any() or not level.lenders.any():
            return picture
        if coarse is None or offsets is None:
            guess = level.searched(level.from_border())
            offsets = level.searched(level.averaged(guess))
        else:
            offsets = level.taken_over(offsets, coarse)
        colours = level.averaged(offsets)
        for _ in range(rounds):
            on_step()
            offsets, misfit = level.improved(colours, offsets)
            colours = level.averaged(offsets, misfit)
    if level is None or offsets is None:
        return picture
    return torch.where(known > 0, picture, level.copied(picture, offsets, level.fit(misfit)))


@dataclass(frozen=True)
class Level:
    """A picture at one density, with REACH more cells at each border.

    colours: (3, h, w), calm where nothing is known. known, hidden, lenders, targets: (h, w), bool: cells that are
    seen; that are to be filled in; whose whole patch is seen and may be copied; whose patch reaches into what is
    hidden. trust: (h, w), how sure a cell is, 1 where it is known. fading: (h, w), how much of a copy is shown, far
    inside less. eye: the distance of the eyes in cells.

    Offsets (2, h, w), rows and columns, lead from targets to the middles of the patches that are copied there.
    """

    colours: Tensor
    known: Tensor
    hidden: Tensor
    lenders: Tensor
    targets: Tensor
    trust: Tensor
    fading: Tensor
    eye: float

    @classmethod
    def of(cls, picture: Tensor, known: Tensor, wanted: Tensor, eye: float, scale: float, farthest: float) -> "Level":
        share = resized(known, scale)
        colours = resized(picture, scale)
        border = (REACH,) * 4
        seen = F.pad(share, border)[0] > WHOLE
        inner = F.pad(torch.ones_like(share), border)[0] > 0
        depth = to_nearest(seen).norm(dim=-1)
        hidden = inner & ~seen & (F.pad(resized(wanted, scale), border)[0] > 0) & (depth <= farthest * eye * scale)
        whole = inner & (dilated(~seen[None], REACH)[0] == 0)
        return cls(
            F.pad(colours[None], border, mode="replicate")[0],
            seen,
            hidden,
            whole & (to_nearest(hidden).norm(dim=-1) <= LENDERS * eye * scale),
            inner & (dilated(hidden[None], REACH)[0] > 0) & ~whole,
            TRUST**depth,
            1 - smoothstep((depth / (farthest * eye * scale) - FADING) / (1 - FADING)),
            eye * scale,
        )

    def from_border(self) -> Tensor:
        """Return the colours (3, h, w), hidden ones taken one by one from the best patch, from the border inwards."""
        colours, present = self.colours.clone(), self.known.clone()
        while True:
            ring = (dilated(present[None], 1)[0] > 0) & self.hidden & ~present
            if not ring.any():
                return colours
            rows, columns = self._best(colours, ring, self.trust * present)
            colours[:, ring] = self.colours[:, rows, columns]
            present |= ring

    def searched(self, guess: Tensor) -> Tensor:
        """Return offsets to the patches that fit best to a guess (3, h, w) of the colours."""
        return self._spread(self._best(guess, self.targets, self.trust) - cells_of(self.targets))

    def improved(self, guess: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return offsets that fit better to a guess (3, h, w) of the colours, and how badly they fit (h, w).

        The offsets of neighbours are tried, and those one cell longer.
        """
        cells, cost_of = cells_of(self.targets), self._costs(guess)
        limits = cells.new_tensor(self.targets.shape)[:, None] - 1
        best = offsets[:, self.targets]
        cost = cost_of(best)
        for step, turn in ((step, cells.new_tensor(turn)[:, None]) for step in STEPS for turn in TURNS):
            if step:
                rows, columns = torch.minimum((cells + step * turn).clamp_min(0), limits)
                tried = self._spread(best)[:, rows, columns]
            else:
                tried = best + turn
            other = cost_of(tried)
            best, cost = torch.where(other < cost, tried, best), torch.minimum(other, cost)
        misfit = torch.zeros_like(self.trust)
        misfit[self.targets] = cost
        return self._spread(best), misfit

    def taken_over(self, offsets: Tensor, coarse: "Level") -> Tensor:
        """Return the offsets for this level that were found on a coarser one."""
        by = self.eye / coarse.eye
        inner = [torch.arange(n - 2 * REACH, device=offsets.device) for n in self.targets.shape]
        rows, columns = (((n + 0.5) / by).long() + REACH for n in inner)
        finer = (offsets[:, rows[:, None], columns] * by).round().long()
        return self._spread(F.pad(finer, (REACH,) * 4)[:, self.targets])

    def averaged(self, offsets: Tensor, misfit: Tensor | None = None) -> Tensor:
        """Return the colours (3, h, w), hidden ones as the mean of what the patches over them propose.

        misfit: (h, w), mean squared differences of the patches, which count the less the larger these are.
        """
        weights = self.trust * self.targets
        if misfit is not None:
            scale = misfit[self.targets].quantile(FITS).clamp_min(1e-6)
            weights = weights * torch.exp(-misfit / (2 * scale))
        cells = cells_of(self.hidden)
        total = weights.new_zeros(4, cells.shape[1])
        for step in window(cells):
            rows, columns = middle = cells - step
            weight = weights[rows, columns]
            at = self._within(middle + offsets[:, rows, columns] + step)
            total += torch.cat((self.colours[:, at[0], at[1]] * weight, weight[None]))
        colours = self.colours.clone()
        colours[:, self.hidden] = torch.where(
            total[3] > 0, total[:3] / total[3].clamp_min(1e-12), colours[:, self.hidden]
        )
        return colours

    def fit(self, misfit: Tensor) -> Tensor:
        """Return how well the patches about each cell fit, (h, w) in 0..1, from the misfit of each patch.

        Where the background has fine structure, as leaves have, no patch fits closely, and none has to.
        """
        fine = (self.colours - box_mean(self.colours, 1)).square().sum(0, keepdim=True)
        seen = (box_mean(self.known.float()[None], 1) > WHOLE).float()
        allowed = MISFIT + ROUGH * filled(fine, seen)[0]
        share = 1 / (1 + (misfit / allowed) ** 2)
        weight = box_mean(self.targets.float()[None], REACH)
        return (box_mean((share * self.targets)[None], REACH) / weight.clamp_min(1e-6))[0]

    def copied(self, picture: Tensor, offsets: Tensor, fit: Tensor) -> Tensor:
        """Return a picture (3, H, W) with copies of the places that offsets lead to, mixed between four cells.

        fit: (h, w) in 0..1, how much of a copy is shown, beside that it fades out.
        """
        size, inner = picture.shape[-2:], [n - 2 * REACH for n in self.targets.shape]
        scales = [n / full for n, full in zip(inner, size, strict=True)]
        weights = F.pad(self.fading * fit * self.targets, (-REACH,) * 4)
        steps = (F.pad(offsets, (-REACH,) * 4) / picture.new_tensor(scales)[:, None, None]).round()
        lines = [torch.arange(n, device=picture.device) + 0.5 for n in size]
        rows, columns = (line * scale - 0.5 for line, scale in zip(lines, scales, strict=True))
        total = picture.new_zeros(4, *size)
        for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
            row, column = rows.floor() + down, columns.floor() + across
            share = (1 - (rows - row).abs())[:, None] * (1 - (columns - column).abs())
            cell = (row.long().clamp(0, inner[0] - 1)[:, None], column.long().clamp(0, inner[1] - 1))
            y, x = lines[0][:, None] + steps[0][cell], lines[1] + steps[1][cell]
            grid = torch.stack((x * (2 / size[1]) - 1, y * (2 / size[0]) - 1), -1)
            copy = F.grid_sample(picture[None], grid[None], padding_mode="border", align_corners=False)[0]
            share = share * weights[cell]
            total += torch.cat((copy * share, share[None]))
        return total[:3] + (1 - total[3]) * picture

    def _best(self, colours: Tensor, wanted: Tensor, trust: Tensor) -> Tensor:
        """Return rows and columns (2, n) of the lenders whose patches are nearest to those about the wanted cells.

        colours: (3, h, w). wanted: (h, w), bool. trust: (h, w), weights of the cells in the comparison.
        """
        lenders = cells_of(self.lenders)
        lenders = lenders[:, (lenders % EVERY).sum(0) == 0] if lenders.shape[1] > FEW else lenders
        lent = patches(self.colours, lenders)
        squares, lent = lent.square().sum(1).T, lent.flatten(1).T
        there = lenders.to(lent) / self.eye
        best = []
        for cells in cells_of(wanted).split(max(AT_ONCE // lenders.shape[1], 1), 1):
            weight = patches(trust[None], cells)
            weight = weight / weight.sum(2, keepdim=True)
            here = cells.to(lent) / self.eye
            cost = weight[:, 0] @ squares - 2 * (patches(colours, cells) * weight).flatten(1) @ lent
            cost += NEARNESS * (there.square().sum(0) - 2 * here.T @ there)
            best.append(cost.argmin(1))
        return lenders[:, torch.cat(best)]

    def _costs(self, guess: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function that tells of offsets (2, T) of all targets how badly they fit to a guess: (T,)."""
        cells = cells_of(self.targets)
        wanted, weight = patches(guess, cells, 2), patches(self.trust[None], cells, 2)  # as good, in half the time
        weight = weight / weight.sum(2, keepdim=True)

        def costs(offsets: Tensor) -> Tensor:
            at = self._within(cells + offsets)
            difference = (patches(self.colours, at, 2) - wanted).square() * weight
            cost = difference.sum((1, 2)) + NEARNESS * (offsets / self.eye).square().sum(0)
            return torch.where(self.lenders[at[0], at[1]], cost, NO_LENDER)

        return costs

    def _within(self, cells: Tensor) -> Tensor:
        """Return cells (2, n) moved to where a whole patch about them exists."""
        limits = cells.new_tensor(self.targets.shape)[:, None] - 1 - REACH
        return torch.minimum(cells.clamp_min(REACH), limits)

    def _spread(self, offsets: Tensor) -> Tensor:
        """Return offsets (2, T) of the targets as a map (2, h, w)."""
        result = offsets.new_zeros(2, *self.targets.shape)
        result[:, self.targets] = offsets
        return result


def cells_of(mask: Tensor) -> Tensor:
    """Return rows and columns (2, n) of the cells of a mask (h, w)."""
    return mask.nonzero().T


def window(like: Tensor, every: int = 1) -> Iterator[Tensor]:
    """Yield the steps (2, 1) from the middle of a patch to its cells, or to every second one, row by row."""
    for down in range(-REACH, REACH + 1, every):
        for across in range(-REACH, REACH + 1, every):
            yield like.new_tensor((down, across))[:, None]


def patches(planes: Tensor, cells: Tensor, every: int = 1) -> Tensor:
    """Return the patches (n, C, P) of planes (C, h, w) about cells (2, n). every: see ``window``."""
    rows, columns = cells[:, :, None] + torch.cat(list(window(cells, every)), 1)[:, None]
    return planes[:, rows, columns].movedim(0, 1)
