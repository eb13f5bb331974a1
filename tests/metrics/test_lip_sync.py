"""Lips and sound as SyncNet's own scripts compare them. GOLDEN: what those scripts' code gives for the same input."""

import numpy as np
import pytest
import torch
from scipy.signal import medfilt
from seeded import noise

from portraittalk.media.audio import Audio
from portraittalk.metrics.lip_sync import face_crop, face_places, lip_sync, lip_sync_of
from portraittalk.metrics.mfcc import mfcc
from portraittalk.types import Face

COUNT = 44


@pytest.fixture(scope="module")
def sound():
    return Audio(0.6 * (2 * noise((1, 16000 * COUNT // 25), 3) - 1), 16000)


@pytest.fixture(scope="module")
def frames():
    small = [noise((1, 3, 9, 12), 20 + number) for number in range(COUNT)]
    return [torch.nn.functional.interpolate(one, (180, 240), mode="bicubic").clamp(0, 1)[0] for one in small]


@pytest.fixture(scope="module")
def faces():
    """A face that wanders to the right, not seen in the first two frames and once in between."""
    boxes = [torch.tensor([[80.0 + number, 50, 0], [150.0 + number, 130, 0]]) for number in range(COUNT)]
    return [None if number in (0, 1, 9) else Face(box) for number, box in enumerate(boxes)]


def test_cepstra_are_those_of_python_speech_features():
    found = mfcc((20000 * (2 * noise((4000,), 9) - 1)).round())
    golden = [24.650665, -37.324198, -11.258222, -9.823184, -3.217353, 2.921235, 6.486639]  # GOLDEN
    assert found.shape == (24, 13) and found[5, :7].tolist() == pytest.approx(golden, abs=1e-5)
    assert found.norm().item() == pytest.approx(227.767835, abs=1e-5)  # GOLDEN
    assert mfcc(torch.zeros(100)).isfinite().all()


@pytest.mark.parametrize("late", [-4, 0, 7])
def test_the_lag_of_a_face_is_found(late):
    heard = noise((60, 1024), 1)
    seen = heard.roll(late, 0) + 0.3 * noise((60, 1024), 2)
    found = lip_sync_of(seen, heard)
    assert found.offset == late and found.lse_c > 3
    other = lip_sync_of(noise((60, 1024), 5), heard)
    assert other.lse_d > found.lse_d and other.lse_c < found.lse_c


def test_distances_are_upstreams():
    seen = noise((60, 1024), 10)
    found = lip_sync_of(seen, seen.roll(3, 0) + 0.3 * noise((60, 1024), 11))
    assert found.offset == -3  # the face comes first
    assert (found.lse_c, found.lse_d) == pytest.approx((8.620811, 6.187878), rel=1e-5)  # GOLDEN


def test_a_whole_clip_gives_what_upstreams_code_gives(metric_nets, frames, faces, sound):
    steps = []
    found = lip_sync(metric_nets.syncnet, frames, faces, sound, lambda progress: steps.append(progress.done))
    assert found.lse_d == pytest.approx(10889.703, rel=5e-5)  # GOLDEN
    assert found.lse_c == pytest.approx(26.68066, rel=1e-3)  # GOLDEN
    assert steps[-1] == COUNT


def test_what_is_too_short_or_shows_no_face_is_none(metric_nets, frames, faces, sound):
    net = metric_nets.syncnet
    assert lip_sync(net, frames[:24], faces[2:9] + faces[10:27], sound) is None
    assert lip_sync(net, frames, faces, Audio(sound.waveform[:, :8000], 16000)) is None
    assert lip_sync(net, frames, [None] * COUNT, sound) is None


def test_places_are_interpolated_and_smoothed(faces):
    middle = 115.0 + np.arange(2, COUNT)
    expected = np.stack([medfilt(middle, 13), medfilt(np.full(COUNT - 2, 90.0), 13), medfilt([40.0] * (COUNT - 2), 13)])
    assert np.allclose(face_places(faces[2:]).numpy(), expected.T)


def test_a_crop_is_blue_green_red_and_grey_outside():
    frame = torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 100, 100)
    crop = face_crop(frame, torch.tensor([50.0, 30.0, 40.0]))
    assert crop.shape == (3, 224, 224)
    assert crop[:, 112, 112].tolist() == [0, 128, 255]
    assert crop[:, 0, 112].tolist() == [110, 110, 110] and crop[:, 112, 0].tolist() == [110, 110, 110]
    top = int((10 / 112) * 224)  # the crop reaches from -10 to 102: ten rows of it lie above the picture
    assert crop[2, top - 2, 112] == 110 and crop[2, top + 2, 112] == 255
