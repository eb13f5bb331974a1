"""Good pixels out of image files that Pillow refuses: damaged or oversized metadata, and an end that is missing."""

import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
# Chunks of PNG beside the pixels that change how these look, by how much is kept at each attempt.
_KEPT = ((b"tRNS", b"eXIf", b"iCCP"), (b"tRNS", b"eXIf"), (b"tRNS",))
# What may follow the last bytes of a JPEG. Data of which nothing is missing decodes alike with each of them.
_TAILS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xaa\x3c" * 32)


def salvaged(path: Path) -> Iterator[tuple[bytes, str]]:
    """Yield files to try in place of one that cannot be read, each with what was done, for a warning."""
    with open(path, "rb") as file:
        data = file.read(len(_PNG))
        if data.startswith((_PNG, _JPEG)):  # anything else may be huge
            data += file.read()
    if data.startswith(_PNG):
        for kept in _KEPT:
            yield _png_without_metadata(data, kept), "its damaged or oversized metadata is ignored"
    elif data.startswith(_JPEG) and _has_all_pixels(data):
        yield data + _END_OF_IMAGE, "its end is missing, but all of its pixels are there"


def _png_without_metadata(data: bytes, kept: tuple[bytes, ...]) -> bytes:
    """Return a PNG with its critical chunks, and of the others those that are kept and undamaged."""
    parts, at = [_PNG], len(_PNG)
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunk = data[at : at + 12 + length]
        critical = not name[0] & 0x20  # the first letter is upper-case
        if critical or (name in kept and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")):
            parts.append(chunk)
        at += len(chunk)
    return b"".join(parts)


def _has_all_pixels(data: bytes) -> bool:
    """Return whether a JPEG that Pillow finds truncated lacks no more than its end marker."""
    data = data.rstrip(b"\xff")  # the first half of the end marker
    pictures = set()
    try:
        for tail in _TAILS:
            with Image.open(BytesIO(data + tail + _END_OF_IMAGE)) as image:
                pictures.add(hash(image.tobytes()))
        return len(pictures) == 1 and _all_scans(data)
    except (OSError, SyntaxError, ValueError, IndexError):
        return False


def _all_scans(data: bytes) -> bool:
    """Return whether a JPEG has a scan of every coefficient, down to its last bit.

    Only progressive files have several; one that ends between two of them decodes to a coarse picture. Raises
    IndexError if a header ends early.
    """
    at, progressive, components = 2, False, 0
    bits: dict[tuple[int, int], int] = {}  # the lowest bit of each coefficient of each component
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            progressive, components = marker in _PROGRESSIVE, body[5]
        at += 2 + length
        if marker != _START_OF_SCAN:
            continue
        count = body[0]
        first, last, low = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count] & 15
        bits.update({(body[1 + 2 * k], n): low for k in range(count) for n in range(first, last + 1)})
        while at + 1 < len(data) and (data[at] != 0xFF or data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7):
            at = data.find(b"\xff", at + 1)  # the coded data of the scan; 00 and restarts belong to it
            if at < 0:
                at = len(data)
    return not progressive or (len(bits) == 64 * components and not any(bits.values()))
