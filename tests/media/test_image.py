import errno
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

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


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bit_values_are_brought_to_0_to_1(
    tmp_path: Path, ramp: np.ndarray, dtype: type, white: int, caplog: pytest.LogCaptureFixture
) -> None:
    values = (ramp[..., 0] / 255 * white).astype(dtype)
    with caplog.at_level(logging.WARNING):
        picture = read_image(save(Image.fromarray(values), tmp_path / "a.tif"))
    assert np.abs(picture.pixels[1].numpy() - values / white).max() < 1e-5
    assert caplog.text.count("255 is taken as white") == (white == 255)


def test_a_few_bright_spots_do_not_darken_a_float_picture(tmp_path: Path, ramp: np.ndarray) -> None:
    values = ramp[..., 0].astype(np.float32) / 255
    values[0, :5] = 7.5
    picture = read_image(save(Image.fromarray(values), tmp_path / "a.tif"))
    assert np.abs(picture.pixels[0, 1:].numpy() - values[1:]).max() < 1e-5


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-1.0, 1.0, "-1 to 1"),
        (0.0, 1e6, "0 to 1e+06"),
        (-32768.0, 32767.0, "-32768 to 32767"),
        (0.0, np.nan, "nan"),
    ],
)
def test_32_bit_values_of_another_range_are_refused_with_it(
    tmp_path: Path, low: float, high: float, words: str
) -> None:
    values = np.linspace(low, high, 48 * 64, dtype=np.float32).reshape(48, 64)
    assert words in refused(save(Image.fromarray(values), tmp_path / "a.tif"))


def test_lab_shows_the_same_picture(tmp_path: Path, ramp: np.ndarray) -> None:
    spaces = [ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")]
    lab = ImageCms.profileToProfile(Image.fromarray(ramp), *spaces, outputMode="LAB")
    found = read_image(save(lab, tmp_path / "a.tif")).pixels.permute(1, 2, 0)
    assert (found * 255 - torch.from_numpy(ramp)).abs().mean() < 2


@pytest.mark.parametrize("suffix", ["png", "mpo", *(["avif"] if ".avif" in Image.registered_extensions() else [])])
def test_of_several_pictures_in_a_file_the_first_is_read(tmp_path: Path, ramp: np.ndarray, suffix: str) -> None:
    first, second = Image.fromarray(ramp), Image.fromarray(255 - ramp)
    path = save(first, tmp_path / f"a.{suffix}", save_all=True, append_images=[second], quality=95)
    found = read_image(path).pixels.permute(1, 2, 0)
    assert (found * 255 - torch.from_numpy(ramp)).abs().mean() < 4


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


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("max_side", [None, 40])
def test_a_tiff_is_turned_once(tmp_path: Path, ramp: np.ndarray, orientation: int, max_side: int | None) -> None:
    turns = {1: 0, 3: 2, 6: 1, 8: 3}  # quarter turns, counter-clockwise, from upright to how the pixels lie
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(ramp, turns[orientation])))
    turned = read_image(save(stored, tmp_path / "a.tif", tiffinfo={0x0112: orientation}), max_side)
    straight = read_image(save(Image.fromarray(ramp), tmp_path / "b.tif"), max_side)
    assert turned.pixels.shape == straight.pixels.shape
    assert (turned.pixels - straight.pixels).abs().max() < 0.02


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
