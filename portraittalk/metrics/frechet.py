"""FID and FVD between the generated and the real videos of a whole benchmark.

FID (Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017) compares Inception features of single frames, FVD
(Unterthiner et al. 2018) I3D features of clips of 16 frames. Both are the Frechet distance of two normal distributions

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

with the features' means and covariances. With few samples the estimate is too large, even for two sets of one kind.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .i3d import CLIP, I3d, i3d_input
from .i3d import DIM as I3D_DIM
from .inception import DIM as INCEPTION_DIM
from .inception import Inception, inception_input

AT_ONCE = 8  # frames per batch
LEAST_FRAMES, LEAST_CLIPS = 100, 16  # per set; with fewer samples the distance is meaningless


@dataclass(frozen=True)
class Features:
    """Features of one or more videos. frames: (F, 2048) of Inception; clips: (N, 400) of I3D; empty without the net."""

    frames: Tensor
    clips: Tensor


@dataclass(frozen=True)
class Distances:
    """FID and FVD, None if a set is too small. fid_frames, fvd_clips: number of generated and of real samples."""

    fid: float | None
    fvd: float | None
    fid_frames: tuple[int, int]
    fvd_clips: tuple[int, int]

    def sentences(self) -> tuple[str, ...]:
        """Return a line with value and sample counts for each distance that was measured."""
        measured = (
            ("FID", self.fid, self.fid_frames, "frames", LEAST_FRAMES),
            ("FVD", self.fvd, self.fvd_clips, f"clips of {CLIP} frames", LEAST_CLIPS),
        )
        return tuple(
            f"{name} {'-' if value is None else f'{value:.3f}'}: {made} made and {real} real {what}"
            + (f"; at least {least} of each are needed" if value is None else "")
            for name, value, (made, real), what, least in measured
            if made or real
        )


class FeatureReader:
    """Feature extractor that takes the frames of a video one by one and stores only their features."""

    def __init__(self, inception: Inception | None, i3d: I3d | None) -> None:
        self._inception, self._i3d = inception, i3d
        self._frames: list[Tensor] = []
        self._clip: list[Tensor] = []
        self._frame_features, self._clip_features = [torch.zeros(0, INCEPTION_DIM)], [torch.zeros(0, I3D_DIM)]

    def add(self, frame: Tensor) -> None:
        """Add a frame (3, H, W) in 0..1, of any size."""
        if self._inception is not None:
            self._frames.append(inception_input(frame))
            if len(self._frames) == AT_ONCE:
                self._encode_frames(self._inception)
        if self._i3d is not None:
            self._clip.append(i3d_input(frame))
            if len(self._clip) == CLIP:
                self._encode_clip(self._i3d)

    def features(self) -> Features:
        """Return the features so far, of all frames and of consecutive clips; a trailing partial clip is dropped."""
        if self._inception is not None and self._frames:
            self._encode_frames(self._inception)
        return Features(torch.cat(self._frame_features), torch.cat(self._clip_features))

    @torch.no_grad()
    def _encode_frames(self, inception: Inception) -> None:
        device = next(inception.parameters()).device
        self._frame_features.append(inception(torch.stack(self._frames).to(device)).cpu())
        self._frames = []

    @torch.no_grad()
    def _encode_clip(self, i3d: I3d) -> None:
        device = next(i3d.parameters()).device
        self._clip_features.append(i3d(torch.stack(self._clip).to(device)).cpu()[None])
        self._clip = []


def distances(made: list[Features], real: list[Features]) -> Distances:
    """Return FID and FVD between all generated and all real videos."""
    frames = [torch.cat([one.frames for one in side]) if side else torch.zeros(0, 1) for side in (made, real)]
    clips = [torch.cat([one.clips for one in side]) if side else torch.zeros(0, 1) for side in (made, real)]
    return Distances(
        frechet_distance(*frames) if min(map(len, frames)) >= LEAST_FRAMES else None,
        frechet_distance(*clips) if min(map(len, clips)) >= LEAST_CLIPS else None,
        (len(frames[0]), len(frames[1])),
        (len(clips[0]), len(clips[1])),
    )


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance of features (N, D) and (M, D), with at least two samples each.

    With the centred features A = (X - m) / sqrt(N - 1), so that S = A'A, the trace of (S1 S2)^(1/2) is the sum of the
    singular values of A1 A2'. This avoids the square root of a singular matrix, and equal sets give 0 up to rounding.
    """
    means, roots = [], []
    for features in (first.double(), second.double()):
        means.append(features.mean(0))
        root = (features - means[-1]) / math.sqrt(len(features) - 1)
        # With more samples than features, the triangular factor R has the same covariance and is smaller.
        roots.append(torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root)
    spread = sum(float(root.square().sum()) for root in roots)
    cross = float(torch.linalg.svdvals(roots[0] @ roots[1].T).sum())
    return max(float((means[0] - means[1]).square().sum()) + spread - 2 * cross, 0.0)
