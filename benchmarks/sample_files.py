"""Small valid files of every kind that is read, in which ``mutations`` changes something."""

import io
import json
import struct
import tempfile
import wave
from collections.abc import Callable
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
SECONDS, RATE = 0.25, 16000


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
