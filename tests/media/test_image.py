import errno
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portraittalk.errors import MediaError
from portraittalk.media.image import Picture, limit_size, read_image


@pytest.fixture
def ramp() -> np.ndarray:
    """(48, 64, 3) uint8, another colour at each corner."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], axis=-1).astype(np.uint8)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_is_exact(tmp_path: Path, ramp: np.ndarray) -> None:
    picture = read_image(save(Image.fromarray(ramp), tmp_path / "a.png"))
    assert picture.pixels.dtype == torch.float32
    assert torch.equal((picture.pixels * 255).round().byte(), torch.from_numpy(ramp).permute(2, 0, 1))
    assert picture.alpha is None
    assert picture.flattened() is picture.pixels


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("1", "png"), ("P", "png"), ("CMYK", "jpg"), ("YCbCr", "jpg")]
)
def test_other_modes_show_the_same_picture(tmp_path: Path, ramp: np.ndarray, mode: str, suffix: str) -> None:
    image = Image.fromarray(ramp).convert(mode)
    picture = read_image(save(image, tmp_path / f"a.{suffix}"))
    expected = torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1) / 255
    assert picture.pixels.shape == (3, 48, 64)
    assert (picture.pixels - expected).abs().mean() < 0.02


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    picture = read_image(save(Image.fromarray(values), tmp_path / f"a.{suffix}"))
    assert picture.pixels.shape == (3, 48, 64)
    assert (picture.pixels[1] - torch.from_numpy(values.astype(np.float32)) / 65535).abs().max() < 1e-5


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_kept_apart(tmp_path: Path, ramp: np.ndarray, mode: str) -> None:
    image = Image.fromarray(ramp).convert(mode)
    image.putalpha(Image.fromarray(ramp[..., 0]))
    picture = read_image(save(image, tmp_path / "a.png"))
    grey_or_colour = np.asarray(image.convert("RGBA"))
    assert torch.equal((picture.pixels * 255).round().byte(), torch.tensor(grey_or_colour[..., :3]).permute(2, 0, 1))
    assert picture.alpha is not None
    assert torch.equal((picture.alpha[0] * 255).round().byte(), torch.from_numpy(ramp[..., 0]))


def test_a_transparent_palette_has_alpha(tmp_path: Path, ramp: np.ndarray) -> None:
    image = Image.fromarray(ramp).quantize(16)
    picture = read_image(save(image, tmp_path / "a.png", transparency=3))
    assert picture.alpha is not None
    assert set(picture.alpha.unique().tolist()) == {0.0, 1.0}


def test_flattened_is_white_where_clear_and_the_picture_where_opaque() -> None:
    picture = Picture(torch.full((3, 2, 2), 0.25), torch.tensor([[[0.0, 1.0], [0.5, 1.0]]]))
    assert torch.allclose(picture.flattened()[0], torch.tensor([[1.0, 0.25], [0.625, 0.25]]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("max_side", [None, 40])
def test_exif_turns_the_picture_upright(
    tmp_path: Path, ramp: np.ndarray, orientation: int, max_side: int | None
) -> None:
    upright = Image.fromarray(ramp)
    turn = {  # how the pixels lie in the file, for each EXIF orientation
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = read_image(save(stored, tmp_path / "a.jpg", exif=exif, quality=95), max_side)
    straight = read_image(save(upright, tmp_path / "b.jpg", quality=95), max_side)
    assert turned.pixels.shape == straight.pixels.shape
    assert (turned.pixels - straight.pixels).abs().mean() < 0.02


def test_a_huge_picture_is_reduced_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    path = save(Image.new("L", (12000, 9000), 200), tmp_path / "huge.jpg")
    with caplog.at_level(logging.WARNING):
        picture = read_image(path)
    assert picture.pixels.shape == (3, 1536, 2048)
    assert (picture.pixels - 200 / 255).abs().max() < 0.01
    assert "huge" in caplog.text and "12000x9000" in caplog.text and "2048x1536" in caplog.text
    assert not recwarn.list


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16", "CMYK"])
def test_every_mode_is_reduced_alike(tmp_path: Path, ramp: np.ndarray, mode: str) -> None:
    image = Image.fromarray(ramp)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    whole = read_image(save(image.convert(mode), tmp_path / "a.tif")).pixels
    reduced = read_image(tmp_path / "a.tif", max_side=32).pixels
    assert reduced.shape == (3, 24, 32)
    assert (reduced - torch.nn.functional.avg_pool2d(whole, 2)).abs().mean() < 0.02


def test_limit_size(caplog: pytest.LogCaptureFixture) -> None:
    small = torch.rand(2, 3, 40, 50)
    assert limit_size(small, 50) is small
    assert not caplog.text
    reduced = limit_size(torch.full((2, 3, 300, 600), 0.5), 64)
    assert reduced.shape == (2, 3, 32, 64)
    assert torch.allclose(reduced, torch.tensor(0.5))
    assert "600x300" in caplog.text and "64x32" in caplog.text


def refused(path: Path) -> str:
    with pytest.raises(MediaError) as error:
        read_image(path)
    message = str(error.value)
    assert path.name in message and "\n" not in message
    return message


def test_what_is_no_picture_is_refused(tmp_path: Path, ramp: np.ndarray) -> None:
    text = tmp_path / "text.png"
    text.write_text("not a picture at all")
    assert "not an image" in refused(text)
    assert "folder" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "nowhere.png")
    assert "16x16" in refused(save(Image.new("RGB", (16, 16)), tmp_path / "small.png"))


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (b"%PDF-1.7\n", "is a PDF document: export the page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture, as iPhones take it"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0heic", "is a HEIC picture"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "is a video: save one of its frames"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "is a video"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0M4A ", "is a sound file"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86", "is a video"),
        (b"RIFF\xff\xff\xff\xffAVI LIST", "is a video"),
        ((b"\x47" + bytes(187)) * 4, "is a video"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "is a sound file: give a picture"),
        (b"ID3\4\0\0", "is a sound file"),
        (b"\xff\xfb\x90\x64", "is a sound file"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">', "is a vector drawing"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "is a web page"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture"),
        (b"PK\3\4\x14\0", "is an archive or an office document"),
        (b"", "is an empty file"),
        (b"plain words", "is not an image in a supported format: give a PNG, JPEG or WebP file"),
    ],
)
def test_what_else_a_file_is_and_what_to_do(tmp_path: Path, start: bytes, sentence: str) -> None:
    path = tmp_path / "portrait.jpg"
    path.write_bytes(start)
    assert refused(path).startswith(f"portrait.jpg {sentence}")


def test_a_picture_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch) -> None:
    def closed(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("PIL.Image.open", closed)  # nothing is closed to root, as which tests may run
    assert "cannot be read (Permission denied): check" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_truncated_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path)
