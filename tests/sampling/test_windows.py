import itertools

import pytest
import torch

from portraittalk.sampling.windows import arrival_weights, frame_noise, plan_windows


@pytest.mark.parametrize("frames", [1, 3, 11, 12, 13, 20, 21, 27, 75, 250])
@pytest.mark.parametrize(("window", "overlap"), [(12, 4), (12, 0), (12, 11), (1, 0), (8, 5)])
def test_windows_cover_every_frame_and_weights_sum_to_one(frames, window, overlap):
    total = torch.zeros(frames)
    windows = plan_windows(frames, window, overlap)
    for piece in windows:
        rise = torch.ones(len(piece))
        rise[: piece.shared] = arrival_weights(piece.shared)
        total[piece.start : piece.stop] *= 1 - rise  # what is left of the windows before
        total[piece.start : piece.stop] += rise
    assert torch.allclose(total, torch.ones(frames))
    assert windows[0].start == 0 and windows[-1].stop == frames
    assert all(len(piece) == min(window, frames) for piece in windows)
    assert all(piece.shared >= overlap for piece in windows[1:])
    assert all(piece.start < after.start for piece, after in itertools.pairwise(windows))


def test_earlier_windows_do_not_depend_on_the_length():
    assert plan_windows(1000, 12, 4)[:5] == plan_windows(61, 12, 4)[:5]


def test_noise_belongs_to_the_frame_not_to_the_window():
    whole = frame_noise(7, 0, 20, (2, 3, 3))
    assert torch.equal(whole[5:9], frame_noise(7, 5, 9, (2, 3, 3)))
    assert not torch.equal(whole, frame_noise(8, 0, 20, (2, 3, 3)))
    assert abs(whole.mean()) < 0.2 and abs(whole.std() - 1) < 0.1
