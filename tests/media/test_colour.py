import av
import numpy as np
import pytest

from portraittalk.media.colour import _ACCURATE, planar_frame, to_rgb, to_yuv

BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)  # weights of red and blue in the luma
SPACES = {
    "bt709": (BT709, 1),
    "bt601 of 625 lines": (BT601, 5),
    "bt601 of 525 lines": (BT601, 6),
    "unnamed": (BT601, 2),
}


@pytest.fixture(scope="module")
def chart() -> np.ndarray:
    """(64, 64, 3) uint8: 4x4x4 colours in patches of 8x8 pixels."""
    steps = np.linspace(40, 220, 4)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(8, 8, 3)
    return colours.repeat(8, 0).repeat(8, 1).round().astype(np.uint8)


def patches(pixels: np.ndarray) -> np.ndarray:
    """The middle of each patch (8, 8, 3): at its edges, chroma of half the resolution is mixed with the next."""
    return pixels.astype(float).reshape(8, 8, 8, 8, 3)[:, 3:5, :, 3:5].mean((1, 3))


def yuv(chart: np.ndarray, weights: tuple[float, float], full_range: bool) -> np.ndarray:
    """The planes of yuv420p (96, 64), by the formulas of ITU-R BT.601 and BT.709."""
    red, blue = weights
    colours = chart / 255
    luma = colours @ [red, 1 - red - blue, blue]
    u, v = (colours[..., 2] - luma) / (2 - 2 * blue), (colours[..., 0] - luma) / (2 - 2 * red)
    scale, zero, chroma = (255, 0, 255) if full_range else (219, 16, 224)
    planes = zero + scale * luma, 128 + chroma * u[::2, ::2], 128 + chroma * v[::2, ::2]
    return np.concatenate([plane.ravel() for plane in planes]).round().clip(0, 255).astype(np.uint8).reshape(96, 64)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_pixels_follow_the_matrix_and_range_of_the_frame(chart: np.ndarray, space: str, full_range: bool) -> None:
    weights, number = SPACES[space]
    frame = av.VideoFrame.from_ndarray(yuv(chart, weights, full_range), format="yuv420p")
    frame.colorspace, frame.color_range = number, 2 if full_range else 1
    assert np.abs(patches(to_rgb(frame)) - patches(chart)).max() < 3


def test_frames_are_written_as_bt709_in_limited_range(chart: np.ndarray) -> None:
    frame = to_yuv(av.VideoFrame.from_ndarray(chart, format="rgb24"))
    luma, expected = frame.to_ndarray()[:64], yuv(chart, BT709, full_range=False)[:64]
    assert np.abs(luma.astype(float) - expected).max() <= 2


def test_frames_are_written_within_a_level_of_accurate_rounding() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    frame = planar_frame(pixels)
    accurate = frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1, interpolation=_ACCURATE)
    away = to_yuv(frame).to_ndarray().astype(int) - accurate.to_ndarray()
    assert not away[:64].any()  # luma
    assert np.abs(away).max() <= 1 and abs(away[64:].mean()) < 0.15


def test_rgb_frames_stay_as_they_are(chart: np.ndarray) -> None:
    assert np.array_equal(to_rgb(av.VideoFrame.from_ndarray(chart, format="rgb24")), chart)
    assert np.array_equal(to_rgb(av.VideoFrame.from_ndarray(chart[..., ::-1].copy(), format="bgr24")), chart)


@pytest.mark.parametrize("width", [64, 38])  # lines of the second are padded
def test_planes_hold_the_same_pixels(chart: np.ndarray, width: int) -> None:
    pixels = np.ascontiguousarray(chart[:, :width].transpose(2, 0, 1)).transpose(1, 2, 0)
    frame = planar_frame(pixels)
    assert (frame.width, frame.height) == (width, 64)
    assert np.array_equal(frame.to_ndarray(format="rgb24"), pixels)
