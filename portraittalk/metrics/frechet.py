"""FID and FVD: how far the made frames of a whole benchmark are from the real ones, as sets.

FID (Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017) compares what Inception sees in single frames, FVD
(Unterthiner et al. 2018) what I3D sees in clips of 16 frames. Both are Frechet's distance of two normal distributions

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

with the features' means and covariances. With few samples the distance is too large, also between sets of one kind.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .i3d import CLIP, I3d, i3d_input
from .i3d import DIM as I3D_DIM
from .inception import DIM as INCEPTION_DIM
from .inception import Inception, inception_input

AT_ONCE = 8  # frames
LEAST_FRAMES, LEAST_CLIPS = 100, 16  # of each set, below which a distance would say nothing


@dataclass(frozen=True)
class Features:
    """Of a video, or of several. frames: (F, 2048) of Inception; clips: (N, 400) of I3D; empty where there is none."""

    frames: Tensor
    clips: Tensor


@dataclass(frozen=True)
class Distances:
    """fid, fvd: None where a set is too small. fid_frames, fvd_clips: how many were made, how many real."""

    fid: float | None
    fvd: float | None
    fid_frames: tuple[int, int]
    fvd_clips: tuple[int, int]

    def sentences(self) -> tuple[str, ...]:
        """What was found, and of how much; nothing of what was not looked at."""
        found = (
            ("FID", self.fid, self.fid_frames, "frames", LEAST_FRAMES),
            ("FVD", self.fvd, self.fvd_clips, f"clips of {CLIP} frames", LEAST_CLIPS),
        )
        return tuple(
            f"{name} {'-' if value is None else f'{value:.3f}'}: {made} made and {real} real {what}"
            + (f"; at least {least} of each are needed" if value is None else "")
            for name, value, (made, real), what, least in found
            if made or real
        )


class FeatureReader:
    """Takes the frames of a video one by one; what it keeps of them are features."""

    def __init__(self, inception: Inception | None, i3d: I3d | None) -> None:
        self._inception, self._i3d = inception, i3d
        self._frames: list[Tensor] = []
        self._clip: list[Tensor] = []
        self._seen, self._watched = [torch.zeros(0, INCEPTION_DIM)], [torch.zeros(0, I3D_DIM)]

    def add(self, frame: Tensor) -> None:
        """frame: (3, H, W) in 0..1, of any size."""
        if self._inception is not None:
            self._frames.append(inception_input(frame))
            if len(self._frames) == AT_ONCE:
                self._look(self._inception)
        if self._i3d is not None:
            self._clip.append(i3d_input(frame))
            if len(self._clip) == CLIP:
                self._watch(self._i3d)

    def features(self) -> Features:
        """Of all frames so far, and of all clips, one behind the other; what is left of less than 16 frames is none."""
        if self._inception is not None and self._frames:
            self._look(self._inception)
        return Features(torch.cat(self._seen), torch.cat(self._watched))

    @torch.no_grad()
    def _look(self, inception: Inception) -> None:
        device = next(inception.parameters()).device
        self._seen.append(inception(torch.stack(self._frames).to(device)).cpu())
        self._frames = []

    @torch.no_grad()
    def _watch(self, i3d: I3d) -> None:
        device = next(i3d.parameters()).device
        self._watched.append(i3d(torch.stack(self._clip).to(device)).cpu()[None])
        self._clip = []


def distances(made: list[Features], real: list[Features]) -> Distances:
    """Of all videos that were made to all real ones."""
    frames = [torch.cat([one.frames for one in side]) if side else torch.zeros(0, 1) for side in (made, real)]
    clips = [torch.cat([one.clips for one in side]) if side else torch.zeros(0, 1) for side in (made, real)]
    return Distances(
        frechet_distance(*frames) if min(map(len, frames)) >= LEAST_FRAMES else None,
        frechet_distance(*clips) if min(map(len, clips)) >= LEAST_CLIPS else None,
        (len(frames[0]), len(frames[1])),
        (len(clips[0]), len(clips[1])),
    )


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Features (N, D) and (M, D), at least two of each.

    With the centred features A = X - m over sqrt(N - 1), so that S = A'A, the trace of (S1 S2)^(1/2) is the sum of the
    singular values of A1 A2': no root of a singular matrix is taken, and equal sets are at 0 but for rounding.
    """
    means, roots = [], []
    for features in (first.double(), second.double()):
        means.append(features.mean(0))
        root = (features - means[-1]) / math.sqrt(len(features) - 1)
        # Of more samples than features the triangular factor has the same covariance.
        roots.append(torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root)
    spread = sum(float(root.square().sum()) for root in roots)
    common = float(torch.linalg.svdvals(roots[0] @ roots[1].T).sum())
    return max(float((means[0] - means[1]).square().sum()) + spread - 2 * common, 0.0)
