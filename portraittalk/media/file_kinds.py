"""Naming files that are no pictures, or not in a format that can be read, by their first bytes."""

from pathlib import Path

_START = 4096  # bytes read
_VIDEO = "is a video: save one of its frames as PNG or JPEG, and give that"
_SOUND = "is a sound file: give a picture of a face here"
_UNKNOWN = "is not an image in a supported format: give a PNG, JPEG or WebP file"
_BEGINNINGS = {
    b"%PDF": "is a PDF document: export the page as PNG or JPEG, and give that",
    b"\xff\x0a": "is a JPEG XL picture, which cannot be read: save it as PNG or JPEG",
    b"\0\0\0\x0cJXL ": "is a JPEG XL picture, which cannot be read: save it as PNG or JPEG",
    b"PK\x03\x04": "is an archive or an office document: take the picture out of it, and give that",
    b"\x1a\x45\xdf\xa3": _VIDEO,  # Matroska and WebM
    b"\0\0\x01\xba": _VIDEO,  # MPEG program stream
    b"FLV\x01": _VIDEO,
    b"ID3": _SOUND,
    b"fLaC": _SOUND,
    b"OggS": _SOUND,
}
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def what_else(path: Path) -> str:
    """Return what a file is that cannot be opened as a picture, and what to do: the rest of "NAME ...".

    Raises OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        return "is an empty file: copy or download it again"
    if start[4:8] == b"ftyp":
        return _base_media(start[8:12])
    if start[:4] == b"RIFF":
        return {b"AVI ": _VIDEO, b"WAVE": _SOUND}.get(start[8:12], _UNKNOWN)
    if len(start) > 376 and start[0] == start[188] == start[376] == 0x47:  # MPEG transport stream
        return _VIDEO
    if start[0] == 0xFF and start[1:2] >= b"\xe0":  # MP3 without tags
        return _SOUND
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "is a vector drawing (SVG): export it as PNG, and give that"
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not the picture on it: download the picture itself"
    return next((what for beginning, what in _BEGINNINGS.items() if start.startswith(beginning)), _UNKNOWN)


def _base_media(brand: bytes) -> str:
    """Return the same for a file of the family of MP4, by the brand in its header."""
    if brand in _HEIC:
        return "is a HEIC picture, as iPhones take it, which cannot be read: save it as JPEG or PNG"
    if brand == b"avif":
        return "is an AVIF picture, which cannot be read: save it as JPEG or PNG, or update Pillow"
    return _SOUND if brand == b"M4A " else _VIDEO
