"""Continuing texture into what a person hides of the background, with patches of what is seen beside it.

The picture is looked at from coarse to fine. Every hidden cell gets the patch of the visible background that fits best
to what is around it (PatchMatch; Barnes et al. 2009), and the mean of the colours that the patches over it propose
(Wexler et al. 2007). The coarsest level is filled from the border inwards. At the end the picture itself is copied by
the offsets that were found, which keeps its texture and sharpness; where no patch fits, the picture that was given
shows. Nothing is random.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ..face.guided import box_mean
from ..smooth import smoothstep
from .filling import filled
from .planes import dilated, distances, resized

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
        deepest = farthest * eye * scale
        depth = distances(seen, deepest + 4 * REACH)  # cells of patches about targets are no deeper than this
        hidden = inner & ~seen & (F.pad(resized(wanted, scale), border)[0] > 0) & (depth <= deepest)
        whole = inner & (dilated(~seen[None], REACH)[0] == 0)
        return cls(
            F.pad(colours[None], border, mode="replicate")[0],
            seen,
            hidden,
            whole & (distances(hidden, LENDERS * eye * scale) <= LENDERS * eye * scale),
            inner & (dilated(hidden[None], REACH)[0] > 0) & ~whole,
            TRUST**depth,
            1 - smoothstep((depth / deepest - FADING) / (1 - FADING)),
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
                neighbours = torch.minimum((cells + step * turn).clamp_min(0), limits)
                tried = self._spread(best).flatten(1).index_select(1, self._flat(neighbours))
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
        targets = cells_of(self.targets)
        steps = self._spread(self._within(targets + offsets[:, self.targets]) - targets)
        steps, weights = self._flat(steps).flatten(), weights.flatten()
        table = torch.cat((self.colours, torch.ones_like(self.trust)[None])).flatten(1).T.contiguous()  # (h w, 4)
        cells = self._flat(cells_of(self.hidden))
        total = table.new_zeros(len(cells), 4)
        for step in window(cells):
            middle = cells - self._flat(step)
            total.addcmul_(
                table.index_select(0, cells + steps.index_select(0, middle)), weights.index_select(0, middle)[:, None]
            )
        colours = self.colours.clone()
        mean = total[:, :3] / total[:, 3:].clamp_min(1e-12)
        colours[:, self.hidden] = torch.where(total[:, 3] > 0, mean.T, colours[:, self.hidden])
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
        cells = torch.cat((steps, weights[None])).flatten(1).T.contiguous()  # (h w, 3)
        # Each pixel lies between two rows and two columns of cells.
        places = [
            (torch.arange(n, device=picture.device) + 0.5) * scale - 0.5 for n, scale in zip(size, scales, strict=True)
        ]
        first = [at.floor().long() for at in places]
        sides = [(at.clamp_min(0), (at + 1).clamp_max(n - 1)) for at, n in zip(first, inner, strict=True)]
        parts = [(1 - (at - low), at - low) for at, low in zip(places, first, strict=True)]
        seen = weights > 0
        seen = seen[sides[0][0]] | seen[sides[0][1]]
        rows, columns = cells_of(seen[:, sides[1][0]] | seen[:, sides[1][1]])  # pixels that show copies
        down = [(inner[1] * at[rows], part[rows]) for at, part in zip(sides[0], parts[0], strict=True)]
        across = [(at[columns], part[columns]) for at, part in zip(sides[1], parts[1], strict=True)]
        table = torch.cat((picture, torch.ones_like(picture[:1]))).flatten(1).T.contiguous()  # (H W, 4)
        total = table.new_zeros(len(rows), 4)
        for (row, upper), (column, left) in product(down, across):
            y, x, share = cells.index_select(0, row + column).unbind(1)
            y, x = ((at + step).clamp_(0, n - 1) for at, step, n in zip((rows, columns), (y, x), size, strict=True))
            total.addcmul_(table.index_select(0, y.long() * size[1] + x.long()), (upper * left * share)[:, None])
        own = rows * size[1] + columns
        total += (1 - total[:, 3:]) * table.index_select(0, own)
        return picture.flatten(1).index_copy(1, own, total[:, :3].T).view_as(picture)

    def _best(self, colours: Tensor, wanted: Tensor, trust: Tensor) -> Tensor:
        """Return rows and columns (2, n) of the lenders whose patches are nearest to those about the wanted cells.

        colours: (3, h, w). wanted: (h, w), bool. trust: (h, w), weights of the cells in the comparison.
        """
        lenders, lent = self._lent
        best = []
        for cells in cells_of(wanted).split(max(AT_ONCE // lenders.shape[1], 1), 1):
            weight = patches(trust[None], cells)[:, 0]
            weight = weight / weight.sum(1, keepdim=True)
            looked = (patches(colours, cells) * weight[:, None]).flatten(1)
            here = NEARNESS / self.eye**2 * cells.T
            cost = torch.cat((weight, looked, here, torch.ones_like(weight[:, :1])), 1) @ lent.T
            best.append(cost.min(1).indices)  # argmin takes twice as long
        return lenders[:, torch.cat(best)]

    @cached_property
    def _lent(self) -> tuple[Tensor, Tensor]:
        """The lenders (2, n) that the search looks at, and (n, P + 3 P + 2 + 1) what the differences to them are the
        products with: the squares of their patches, their patches and places (both times -2), and what depends on
        nothing else."""
        lenders = cells_of(self.lenders)
        lenders = lenders[:, (lenders % EVERY).sum(0) == 0] if lenders.shape[1] > FEW else lenders
        lent = patches(self.colours, lenders)
        places = lenders.T.to(lent)
        apart = NEARNESS / self.eye**2 * places.square().sum(1, keepdim=True)
        return lenders, torch.cat((lent.square().sum(1), -2 * lent.flatten(1), -2 * places, apart), 1)

    def _costs(self, guess: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function that tells of offsets (2, T) of all targets how badly they fit to a guess: (T,)."""
        cells = cells_of(self.targets)
        wanted, weight = patches(guess, cells, 2), patches(self.trust[None], cells, 2)  # as good, in half the time
        wanted, weight = wanted.flatten(1), (weight / weight.sum(2, keepdim=True)).expand_as(wanted).flatten(1)
        lenders = self.lenders.flatten()

        def costs(offsets: Tensor) -> Tensor:
            at = self._flat(self._within(cells + offsets))
            difference = self._table.index_select(0, at).sub_(wanted).square_().mul_(weight)
            cost = difference.sum(1) + NEARNESS * (offsets / self.eye).square().sum(0)
            return torch.where(lenders.index_select(0, at), cost, NO_LENDER)

        return costs

    @cached_property
    def _table(self) -> Tensor:
        """Of the patch about each cell, every second one: (h w, 3 P)."""
        whole = F.pad(self.colours, (REACH,) * 4)
        height, width = self.targets.shape
        shifted = [
            whole[:, REACH + down : REACH + down + height, REACH + across : REACH + across + width]
            for down, across in (step.flatten().tolist() for step in window(torch.zeros(0, dtype=torch.long), 2))
        ]
        return torch.stack(shifted, 1).flatten(0, 1).flatten(1).T.contiguous()

    def _flat(self, cells: Tensor) -> Tensor:
        """Return the numbers (n,) of cells (2, n), counted row by row."""
        return cells[0] * self.targets.shape[1] + cells[1]

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
    return mask.nonzero().T.contiguous()


def window(like: Tensor, every: int = 1) -> Iterator[Tensor]:
    """Yield the steps (2, 1) from the middle of a patch to its cells, or to every second one, row by row."""
    for down in range(-REACH, REACH + 1, every):
        for across in range(-REACH, REACH + 1, every):
            yield like.new_tensor((down, across))[:, None]


def patches(planes: Tensor, cells: Tensor, every: int = 1) -> Tensor:
    """Return the patches (n, C, P) of planes (C, h, w) about cells (2, n). every: see ``window``."""
    width = planes.shape[-1]
    steps = torch.cat([step[0] * width + step[1] for step in window(cells, every)])
    places = (cells[0] * width + cells[1])[:, None] + steps
    found = planes.flatten(1).index_select(1, places.flatten())  # several times as fast as indexing by rows and columns
    return found.view(len(planes), *places.shape).movedim(0, 1)
