"""Pictures with an ICC profile look as browsers show them."""

import logging
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from portraittalk.media.image import read_image
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video

# Columns: XYZ of the primaries under D50, to which ICC profiles adapt white by the Bradford transform.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
SPACES = {"P3": (DISPLAY_P3, 1.8), "Adobe RGB": (ADOBE_RGB, 563 / 256)}  # with the gamma of the profile


def profile(primaries: np.ndarray, gamma: float, space: bytes = b"RGB ") -> bytes:
    """Return an ICC profile (version 2.1, as in its specification) of three primaries and one gamma."""

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = {b"wtpt": xyz(np.array([0.9642, 1, 0.8249])), b"desc": b"desc\0\0\0\0\0\0\0\x05test\0".ljust(92, b"\0")}
    tags |= {b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    tags |= {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.T, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC") if space == b"RGB " else (b"kTRC",), curve)
    at, table, body = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    header = struct.pack(">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x02100000, b"mntr", space, b"XYZ ").ljust(
        36, b"\0"
    )
    header = (header + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


@pytest.fixture
def chart() -> np.ndarray:
    """(64, 64, 3) uint8 of sRGB: colours that every space of the tests contains."""
    steps = np.linspace(40, 220, 4)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(8, 8, 3)
    return colours.repeat(8, 0).repeat(8, 1).round().astype(np.uint8)


def encoded(chart: np.ndarray, primaries: np.ndarray, gamma: float) -> Image.Image:
    """Return the sRGB chart in another space."""
    value = chart / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    moved = linear @ (np.linalg.inv(primaries) @ SRGB).T
    return Image.fromarray((moved.clip(0, 1) ** (1 / gamma) * 255).round().astype(np.uint8))


def levels(path: Path, max_side: int | None = None) -> np.ndarray:
    return read_image(path, max_side).pixels.permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("space", SPACES)
def test_a_profile_is_converted_to_srgb(tmp_path: Path, chart: np.ndarray, space: str, suffix: str) -> None:
    stored = encoded(chart, *SPACES[space])
    assert np.abs(np.asarray(stored) - chart.astype(float)).mean() > 2.5  # what ignoring the profile costs
    stored.save(tmp_path / f"a.{suffix}", icc_profile=profile(*SPACES[space]), lossless=True)
    found = levels(tmp_path / f"a.{suffix}")
    assert np.abs(found - chart).mean() < 0.5 and np.abs((found - chart).mean((0, 1))).max() < 0.3
    assert np.abs(found - chart).max() <= 3  # the stored levels are whole numbers


def test_alpha_palette_and_size_live_with_a_profile(tmp_path: Path, chart: np.ndarray) -> None:
    stored, icc = encoded(chart, *SPACES["P3"]), profile(*SPACES["P3"])
    clear = stored.copy()
    clear.putalpha(Image.fromarray(chart[..., 0]))
    clear.save(tmp_path / "alpha.png", icc_profile=icc)
    picture = read_image(tmp_path / "alpha.png")
    assert picture.alpha is not None and np.array_equal((picture.alpha[0] * 255).round(), chart[..., 0])
    assert np.abs(levels(tmp_path / "alpha.png") - chart).max() <= 2
    stored.quantize(256, dither=Image.Dither.NONE).save(tmp_path / "palette.png", icc_profile=icc)
    assert np.abs(levels(tmp_path / "palette.png") - chart).mean() < 2.5
    stored.save(tmp_path / "large.png", icc_profile=icc)
    assert np.abs(levels(tmp_path / "large.png", 32) - chart.reshape(32, 2, 32, 2, 3).mean((1, 3))).mean() < 3


def test_grey_pictures_have_profiles_of_either_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grey = np.arange(16, 256, 6, dtype=np.uint8).repeat(40).reshape(40, 40)
    stored = encoded(np.stack([grey] * 3, -1), SRGB, 1.8).getchannel("G")
    for space in (b"RGB ", b"GRAY"):
        stored.save(tmp_path / "a.png", icc_profile=profile(SRGB, 1.8, space))
        assert np.abs(levels(tmp_path / "a.png") - grey[..., None]).max() < 2.5
    assert not caplog.text


def test_a_profile_of_srgb_changes_no_pixel(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise.save(tmp_path / "a.png", icc_profile=srgb)
    assert np.array_equal(levels(tmp_path / "a.png").round(), np.asarray(noise))


@pytest.mark.parametrize(
    "icc", [b"no profile", profile(*SPACES["P3"])[:300], profile(SRGB, 1.8, b"GRAY"), profile(SRGB, 1.8, b"CMYK")]
)
def test_a_profile_that_cannot_be_used_is_ignored_and_that_is_said(
    tmp_path: Path, chart: np.ndarray, icc: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(chart).save(tmp_path / "a.png", icc_profile=icc)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(levels(tmp_path / "a.png").round(), chart)
    assert caplog.text.count("profile of a.png") == 1


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_a_colour_chart_comes_back_from_the_written_video(tmp_path: Path, chart: np.ndarray, kind: str) -> None:
    large = torch.from_numpy(chart.repeat(2, 0).repeat(2, 1)).permute(2, 0, 1) / 255
    write_video([large[None]], tmp_path / f"a.{kind}", 25, quality=100)
    with av.open(tmp_path / f"a.{kind}") as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
    shown = next(iter(read_video(tmp_path / f"a.{kind}"))).permute(1, 2, 0).numpy() * 255
    patches = shown.reshape(8, 16, 8, 16, 3)[:, 4:12, :, 4:12].mean((1, 3))
    assert np.abs(patches - chart[::8, ::8]).mean() < 2 and np.abs(patches - chart[::8, ::8]).max() < 5
