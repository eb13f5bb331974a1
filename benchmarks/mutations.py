"""Small valid files of every kind that is read, and mutations of them: bit flips, cuts, splices, header fields.

Every mutation is a function of a seed and a number, so that a finding can be made again.
"""

import io
import json
import random
import struct
import tempfile
import wave
import zlib
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save as save_tensors

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.config import (
    AnimateNetConfig,
    AutoencoderConfig,
    IdentityNetConfig,
    MotionNetConfig,
    PortraitTalkConfig,
    StructureConfig,
)
from portraittalk.media.audio import Audio
from portraittalk.media.video import write_video
from portraittalk.motion.track import MotionTrack
from portraittalk.weights.load import save_weights
from portraittalk.weights.networks import build_networks

SUFFIXES = {
    "png": ".png",
    "jpeg": ".jpg",
    "wav": ".wav",
    "mp3": ".mp3",
    "mp4": ".mp4",
    "safetensors": ".safetensors",
    "motion": ".json",
    "motion_edit": ".json",
}
INTEGERS = (0, 1, 2, 3, 16, 64, 127, 255, 256, 1000, 44101, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "\n" * 40, [], {}, [[]], [0.5] * 3),
    *(0, -1, 2, 7, 1000, 2**31, 2**64, 10**400, 1e-6, 1e30, -0.5, float("nan"), float("inf")),
)
SECONDS, RATE = 0.25, 16000


def mutation(kind: str, seed: int, number: int) -> bytes:
    """Return a mutated file of a kind (a key of ``SUFFIXES``)."""
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


@cache
def samples(kind: str) -> list[bytes]:
    """Return small valid files of a kind."""
    return _MAKERS[kind]()


def _picture() -> Image.Image:
    ramp = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3)
    return Image.fromarray((ramp + 40 * np.sin(ramp / 3)).clip(0, 255).astype(np.uint8))


def _pngs() -> list[bytes]:
    picture, info = _picture(), PngInfo()
    info.add_text("Comment", "a portrait " * 20, zip=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21)
    modes = [picture.convert(mode) for mode in ("RGBA", "P", "LA", "1")]
    plain = [_saved(one, "PNG") for one in (picture, deep, *modes)]
    frames = [picture, picture.rotate(180)]
    return [
        *plain,
        _saved(picture, "PNG", pnginfo=info, exif=exif, icc_profile=b"\0" * 200),
        _saved(picture, "PNG", save_all=True, append_images=frames),
    ]


def _jpegs() -> list[bytes]:
    picture, exif = _picture(), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a portrait"
    return [
        _saved(picture, "JPEG", quality=80),
        _saved(picture, "JPEG", progressive=True, exif=exif),
        _saved(picture.convert("L"), "JPEG", restart_marker_blocks=2),
        _saved(picture.convert("CMYK"), "JPEG"),
    ]


def _saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _sound(channels: int = 1) -> torch.Tensor:
    time = torch.arange(round(SECONDS * RATE)) / RATE
    return 0.3 * torch.stack([torch.sin(900 * (1 + channel) * time) for channel in range(channels)])


def _wavs() -> list[bytes]:
    files = []
    for channels, width in ((1, 2), (2, 2), (1, 1), (1, 3)):
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((channels, width, RATE, 0, "NONE", ""))
            scale = 127 if width == 1 else 2 ** (8 * width - 1) - 1
            values = (_sound(channels).T.flatten() * scale).round().to(torch.int64).numpy() + 128 * (width == 1)
            writer.writeframes(b"".join(int(value).to_bytes(width, "little", signed=width > 1) for value in values))
        files.append(file.getvalue())
    floats = _sound().numpy().astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(floats)) + floats
    return [*files, b"RIFF" + struct.pack("<I", len(chunks)) + chunks]


def _mp3s() -> list[bytes]:
    return [_encoded("mp3", "libmp3lame", rate, layout) for rate, layout in ((16000, "mono"), (44100, "stereo"))]


def _encoded(container: str, codec: str, rate: int, layout: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        output.metadata["title"] = "speech"
        samples = np.ascontiguousarray(_sound(2 if layout == "stereo" else 1).numpy())
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _mp4s() -> list[bytes]:
    ramp = torch.linspace(0, 1, 48 * 64).reshape(48, 64)
    frames = [torch.stack([(ramp + k / 6) % 1, ramp, 1 - ramp])[None] for k in range(6)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        write_video(frames, path, 25.0, Audio(_sound(), RATE))
        with_sound = path.read_bytes()
        write_video(frames, path, 25.0)
        return [with_sound, path.read_bytes(), _encoded("mp4", "aac", 44100, "stereo")]


def _weights() -> list[bytes]:
    """Return the weights of a tiny model, and tensors of every type in a file of their own."""
    config = PortraitTalkConfig(
        name="tiny",
        crop_size=32,
        autoencoder=AutoencoderConfig(patch_size=2, latent_channels=2, block_out_channels=(8,), norm_num_groups=4),
        identity_net=IdentityNetConfig(input_size=32, widths=(8, 8), embedding_dim=4, tokens=1, heads=1, depth=1),
        motion_net=MotionNetConfig(width=4, layers=1),
        structure=StructureConfig(map_channels=2, map_size=16, flow_size=8, tokens=1),
        animate_net=AnimateNetConfig(
            block_out_channels=(8, 8),
            attention_head_dim=1,
            norm_num_groups=4,
            token_dim=4,
            text_dim=4,
            motion_num_attention_heads=1,
        ),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = build_networks(config)
        tensors = {str(dtype): torch.randn(3, 4).to(dtype) for dtype in _DTYPES}
    parts = {name: {key: value.half() for key, value in net.state_dict().items()} for name, net in networks.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tiny.safetensors")
        save_weights(path, config, parts)
        model, others = path.read_bytes(), save_tensors(tensors, {"format": "x"})
        return [model, model, others, save_tensors({"x": torch.zeros(0)})]


_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def _motions() -> list[bytes]:
    generator = torch.Generator().manual_seed(0)
    expression = torch.rand(4, len(ARKIT_NAMES), generator=generator)
    track = MotionTrack.of_expression(expression, 25.0)
    few = {"format": "portraittalk.motion", "version": 1, "fps": 30, "frames": [{}, {"blink": 1}], "prompt": "smile"}
    return [json.dumps(track.to_dict(), indent=1).encode(), json.dumps(few).encode()]


def _motion_edits() -> list[bytes]:
    keys = [{"time": 0.5, "value": 0}, {"time": 1, "value": 1, "interpolation": "linear"}]
    return [json.dumps({"head_yaw": keys, "intensity": [0.5, 1.0, 2.0], "blink": keys}, indent=1).encode()]


_MAKERS: dict[str, Callable[[], list[bytes]]] = {
    "png": _pngs,
    "jpeg": _jpegs,
    "wav": _wavs,
    "mp3": _mp3s,
    "mp4": _mp4s,
    "safetensors": _weights,
    "motion": _motions,
    "motion_edit": _motion_edits,
}
