"""Distances of sets: 0 for equal ones, a known closed form, and what is kept of a video."""

import pytest
import torch
from seeded import noise

from portraittalk.metrics.frechet import Distances, FeatureReader, Features, distances, frechet_distance


def test_equal_sets_are_at_0_in_whatever_order_and_others_are_not():
    first = noise((50, 64), 1)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first.flip(0)) == pytest.approx(0, abs=1e-9)
    near, far = (frechet_distance(first, first + shift * noise((50, 64), 2)) for shift in (0.1, 1.0))
    assert 0.01 < near < far


def test_a_shift_and_a_scale_have_their_closed_form():
    first = noise((300, 8), 3).double()
    assert frechet_distance(first, first + 2) == pytest.approx(8 * 4, rel=1e-9)
    spread = first.var(0).sum().item()
    middle = first.mean(0).square().sum().item()
    assert frechet_distance(first, 3 * first) == pytest.approx(4 * spread + 4 * middle, rel=1e-9)


@pytest.mark.parametrize(("count", "other"), [(300, 260), (40, 50)])  # more samples than features, and fewer
def test_the_trace_is_that_of_the_root_of_the_product(count, other):
    a, b = noise((count, 64), 1).double(), 1.3 * noise((other, 64), 2).double() + 0.1
    product = torch.cov(a.T) @ torch.cov(b.T)
    root = torch.linalg.eigvals(product).sqrt().real.sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    expected = shift + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-5)


def test_small_sets_have_no_distance_but_a_count():
    many, few = Features(noise((100, 2048), 1), noise((16, 400), 1)), Features(noise((60, 2048), 2), noise((4, 400), 2))
    found = distances([many], [few, few])
    assert found.fid is not None and found.fid > 0 and found.fid_frames == (100, 120)
    assert found.fvd is None and found.fvd_clips == (16, 8)
    assert found.sentences() == (
        f"FID {found.fid:.3f}: 100 made and 120 real frames",
        "FVD -: 16 made and 8 real clips of 16 frames; at least 16 of each are needed",
    )
    assert distances([many], [many]).fid == pytest.approx(0, abs=1e-6)
    assert distances([], []) == Distances(None, None, (0, 0), (0, 0)) and distances([], []).sentences() == ()


def test_of_a_video_features_are_kept_and_no_frames(metric_nets):
    frames = noise((18, 3, 32, 40), 7)
    pictures, clips = FeatureReader(metric_nets.inception, None), FeatureReader(None, metric_nets.i3d)
    for number, frame in enumerate(frames):
        clips.add(frame)
        if number < 9:
            pictures.add(frame)
    seen, watched = pictures.features(), clips.features()
    assert seen.frames.shape == (9, 2048) and seen.clips.shape == (0, 400)
    assert not torch.allclose(seen.frames[0], seen.frames[8])
    assert watched.frames.shape == (0, 2048) and watched.clips.shape == (1, 400)  # two frames more are no clip
