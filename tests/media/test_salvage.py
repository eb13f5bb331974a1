"""Image files with damaged metadata or a missing end: good pixels are read, and what was done is said."""

import logging
import os
import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from portraittalk.errors import MediaError
from portraittalk.media.image import read_image


@pytest.fixture
def picture() -> Image.Image:
    """A smooth picture of 120x90 pixels with some noise, so that no part of it looks like another."""
    y, x = np.mgrid[0:90, 0:120]
    noise = np.random.default_rng(1).integers(0, 40, (90, 120, 3))
    return Image.fromarray((np.stack([x, y, 200 - x], -1) + noise).astype(np.uint8))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels(path: Path, data: bytes) -> torch.Tensor:
    path.write_bytes(data)
    return read_image(path).pixels


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def after_header(png: bytes, chunks: bytes) -> bytes:
    """Return a PNG with chunks after its header, IHDR."""
    return png[:33] + chunks + png[33:]


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"tEXt", b"note\0hello")[:-4] + b"\0\0\0\0",  # a wrong check sum
        chunk(b"pHYs", b"\1"),
        chunk(b"eXIf", b"nothing of EXIF"),
    ],
    ids=["zTXt", "iTXt", "iCCP", "check sum", "pHYs", "eXIf"],
)
def test_metadata_of_a_png_that_pillow_refuses(
    tmp_path: Path, picture: Image.Image, metadata: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    png = saved(picture, "PNG")
    with caplog.at_level(logging.WARNING):
        found = pixels(tmp_path / "a.png", after_header(png, metadata))
    assert torch.equal(found, pixels(tmp_path / "b.png", png))
    assert len(caplog.records) <= 1 and all("a.png" in record.message for record in caplog.records)


def test_what_changes_the_look_of_a_png_is_kept_without_the_rest(tmp_path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    png = saved(picture.quantize(8), "PNG", transparency=3, exif=exif)
    oversized = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3_000_000)))
    (tmp_path / "a.png").write_bytes(after_header(png, oversized))
    (tmp_path / "b.png").write_bytes(png)
    found, expected = read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png")
    assert found.pixels.shape == (3, 120, 90) and torch.equal(found.pixels, expected.pixels)
    assert found.alpha is not None and expected.alpha is not None and torch.equal(found.alpha, expected.alpha)


def test_a_short_text_in_a_png_is_no_damage(
    tmp_path: Path, picture: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    info = PngInfo()
    info.add_text("note", "hello")
    pixels(tmp_path / "a.png", saved(picture, "PNG", pnginfo=info))
    assert not caplog.text


def test_a_damaged_png_is_refused(tmp_path: Path, picture: Image.Image) -> None:
    png = bytearray(saved(picture, "PNG"))
    png[len(png) // 2] ^= 255
    with pytest.raises(MediaError, match=r"a\.png is damaged"):
        pixels(tmp_path / "a.png", bytes(png))


@pytest.mark.parametrize("orientation", ["6", "Horizontal (normal)", 9, b"\0\0"])
def test_an_orientation_that_is_none_is_ignored(
    tmp_path: Path, picture: Image.Image, orientation: object, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    good = saved(picture, "JPEG", exif=exif)
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 1, 0)
    assert good.count(entry) == 1
    kind, count, value = {
        int: (3, 1, struct.pack(">HH", orientation if isinstance(orientation, int) else 0, 0)),
        str: (2, 2, (str(orientation)[:1] + "\0\0\0").encode()),
        bytes: (7, 2, b"\0\0\0\0"),
    }[type(orientation)]
    bad = good.replace(entry, struct.pack(">HHI", 0x0112, kind, count) + value)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(pixels(tmp_path / "a.jpg", bad), pixels(tmp_path / "b.jpg", good))
    assert caplog.text.count("EXIF data of a.jpg") == (0 if isinstance(orientation, int) else 1)


def test_damaged_exif_is_ignored(tmp_path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    good = saved(picture, "JPEG", exif=exif)
    at = good.index(b"Exif\0\0") + 6
    expected = pixels(tmp_path / "b.jpg", saved(picture, "JPEG"))
    for damaged in (good[:at] + b"XX" + good[at + 2 :], good[: at + 4] + b"\xff\xff\xff\xff" + good[at + 8 :]):
        assert torch.equal(pixels(tmp_path / "a.jpg", damaged), expected)


KINDS = {"baseline": {}, "restarts": {"restart_marker_rows": 1}, "progressive": {"progressive": True}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_its_end_marker_only(
    tmp_path: Path, picture: Image.Image, kind: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    jpeg = saved(picture.convert(mode), "JPEG", **KINDS[kind])
    expected = pixels(tmp_path / "b.jpg", jpeg)
    for cut in (2, 1):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert torch.equal(pixels(tmp_path / "a.jpg", jpeg[:-cut]), expected)
        assert caplog.text.count("its end is missing") == 1 and "a.jpg" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_lacks_pixels_is_refused(tmp_path: Path, picture: Image.Image, kind: str) -> None:
    jpeg = saved(picture, "JPEG", **KINDS[kind])
    scans = [at for at in range(len(jpeg)) if jpeg[at : at + 2] == b"\xff\xda"]
    cuts = [len(jpeg) - missing for missing in (6, 10, 100, 1000)] + scans[1:]  # of progressive ones, between scans too
    for cut in cuts:
        with pytest.raises(MediaError, match=r"a\.jpg is damaged"):
            pixels(tmp_path / "a.jpg", jpeg[:cut])


def test_what_is_no_image_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom")
    os.truncate(path, 1 << 25)
    tracemalloc.start()
    try:
        with pytest.raises(MediaError, match="is a video"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
