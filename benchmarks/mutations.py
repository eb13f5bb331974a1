"""Mutations of the files in ``sample_files``: bit flips, cuts, splices, header fields.

Every mutation is a function of a seed and a number, so that a finding can be made again.
"""

import json
import random
import struct
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from sample_files import samples

INTEGERS = (0, 1, 2, 3, 16, 64, 127, 255, 256, 1000, 44101, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "\n" * 40, [], {}, [[]], [0.5] * 3),
    *(0, -1, 2, 7, 1000, 2**31, 2**64, 10**400, 1e-6, 1e30, -0.5, float("nan"), float("inf")),
)


def mutation(kind: str, seed: int, number: int) -> bytes:
    """Return a mutated file of a kind (a key of ``sample_files.SUFFIXES``)."""
    chance = random.Random(f"{seed} {kind} {number}")
    files = samples(kind)
    data = bytearray(chance.choice(files))
    structured = STRUCTURED.get(kind)
    if structured is not None and chance.random() < 0.5:
        data = bytearray(structured(bytes(data), chance))
    else:
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            chance.choice(BYTES)(data, chance)
        if chance.random() < 0.1:
            other = chance.choice(files)
            data = data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other)) :]
    return repaired_png(bytes(data)) if kind == "png" and chance.random() < 0.7 else bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Return a position, half of the time in the first 128 bytes, where headers are."""
    return chance.randrange(min(len(data), 128) if chance.random() < 0.5 else len(data)) if data else 0


def _flip_bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 10, 100)) if data else 0):
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set_bytes(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    size = min(chance.choice((1, 2, 4, 64)), len(data) - place)
    data[place : place + size] = chance.choice((b"\0", b"\xff", bytes([chance.randrange(256)]))) * size


def _set_length(data: bytearray, chance: random.Random) -> None:
    place, form = _place(data, chance), chance.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    value = chance.choice((*INTEGERS, len(data), max(len(data) - place, 0), 2**63, 2**64 - 1)) % 256**size
    data[place : place + size] = struct.pack(form, value)[: max(len(data) - place, 0)]


def _cut_end(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _cut_out(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.choice((1, 2, 4, 16, 200, 2000))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start, place = _place(data, chance), _place(data, chance)
    data[place:place] = data[start : start + chance.choice((1, 4, 32, 512))] * chance.choice((1, 1, 3, 50))


def _insert(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place:place] = chance.randbytes(chance.choice((1, 2, 4, 64)))


BYTES = (_flip_bits, _flip_bits, _set_bytes, _set_length, _set_length, _cut_end, _cut_out, _repeat, _insert)


def repaired_png(data: bytes) -> bytes:
    """Return a PNG with the checksums of its chunks made right, so that readers look at what is in them."""
    out, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        if place + 12 + size > len(data):
            break
        body = data[place + 4 : place + 8 + size]
        out += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + size
    return bytes(out) + data[place:]


def _png_header(data: bytes, chance: random.Random) -> bytes:
    """Change width, height, bit depth, colour type or interlacing."""
    changed = bytearray(data)
    if chance.random() < 0.6:
        struct.pack_into(">I", changed, chance.choice((16, 20)), chance.choice((*INTEGERS, 8192, 30000)))
    else:
        changed[chance.randrange(24, 29)] = chance.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return bytes(changed)


def _jpeg_header(data: bytes, chance: random.Random) -> bytes:
    """Change the height, width, number of components or sampling in the frame header."""
    place = next((data.find(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data), 0)
    changed = bytearray(data)
    if chance.random() < 0.6:
        struct.pack_into(">H", changed, place + chance.choice((5, 7)), chance.choice((0, 1, 8, 9000, 30000, 65535)))
    else:
        changed[place + chance.randrange(4, 18)] = chance.randrange(256)
    return bytes(changed)


def _wav_header(data: bytes, chance: random.Random) -> bytes:
    """Change codec, channels, rate, block size or bits of the format chunk, or a length."""
    changed = bytearray(data)
    form, place = chance.choice((("<H", 20), ("<H", 22), ("<I", 24), ("<I", 28), ("<H", 32), ("<H", 34), ("<I", 40)))
    value = chance.choice((*INTEGERS, 6, 7, 17, 85, 8000, 48000, 383_987)) % 256 ** struct.calcsize(form)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


def _mp4_field(data: bytes, chance: random.Random) -> bytes:
    """Change a 32-bit number of one of the boxes that say how long, how fast and how large everything is."""
    names = (b"mvhd", b"tkhd", b"mdhd", b"elst", b"stts", b"stsz", b"stco", b"stsc", b"ctts", b"avc1", b"mp4a", b"trex")
    places = [place for name in names for place in _finds(data, name)]
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.choice(places) + 4 * chance.randrange(1, 12)
        if place + 4 <= len(changed):
            struct.pack_into(">I", changed, place, chance.choice((*INTEGERS, chance.getrandbits(32))))
    return bytes(changed)


def _finds(data: bytes, name: bytes) -> list[int]:
    return [place for place in range(len(data)) if data.startswith(name, place)]


def _tensor_header(data: bytes, chance: random.Random) -> bytes:
    """Change a value of the JSON header, or of the configuration in it."""
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    metadata = header.get("__metadata__", {})
    if "portraittalk_config" in metadata and chance.random() < 0.7:
        config = json.loads(metadata["portraittalk_config"])
        metadata["portraittalk_config"] = json.dumps(_changed_json(config, chance))
    else:
        header = _changed_json(header, chance)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _motion_json(data: bytes, chance: random.Random) -> bytes:
    text = json.dumps(_changed_json(json.loads(data), chance))
    return text.encode(chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32")))


def _changed_json(value: Any, chance: random.Random) -> Any:
    """Return the value with one to three parts replaced, removed or renamed, at any depth."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        parts = list(_containers(value))
        if not parts:
            return _value(chance)
        container = chance.choice(parts)
        key = chance.choice(list(container) if isinstance(container, dict) else range(len(container)))
        action = chance.random()
        if action < 0.7:
            container[key] = _value(chance)
        elif action < 0.85:
            del container[key]
        elif isinstance(container, dict):
            container[chance.choice(("x", "", "frames", "dtype", str(key) * 2))] = container[key]
        else:
            container += [deepcopy(container[key]) for _ in range(chance.choice((1, 100)))]
    return value


def _value(chance: random.Random) -> Any:
    return deepcopy(chance.choice(VALUES))  # later changes may reach into it


def _containers(value: Any) -> Any:
    if isinstance(value, (dict, list)) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)


STRUCTURED: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "png": _png_header,
    "jpeg": _jpeg_header,
    "wav": _wav_header,
    "mp4": _mp4_field,
    "safetensors": _tensor_header,
    "motion": _motion_json,
    "motion_edit": _motion_json,
}
