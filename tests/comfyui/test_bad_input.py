"""Input that cannot work: the node says in one sentence what is wrong, and no file appears."""

import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_harness.server import ComfyServer, NodeError
from comfyui_harness.workflow import Prompt, changed, only
from PIL import Image
from safetensors.numpy import save_file

DEMO = Path(__file__).resolve().parents[2] / "portraittalk" / "assets" / "demo"
MODEL, AUDIO, PORTRAIT = "PortraitTalkModelLoader", "PortraitTalkLoadAudio", "PortraitTalkLoadPortrait"
IDENTITY, STYLE = "PortraitTalkIdentityEncode", "PortraitTalkTextStyleCondition"
SAMPLER, COMBINE = "PortraitTalkAnimateNetSampler", "PortraitTalkSaveVideo"


def write_wave(path: Path, samples: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\0\0" * samples)


def write_nan_wave(path: Path) -> None:
    data = np.full(16000, np.nan, dtype="<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32)  # IEEE float
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


FILES: dict[str, Callable[[Path], Any]] = {
    "input/wall.png": lambda path: Image.new("RGB", (256, 256), (120, 130, 140)).save(path),
    "input/tiny.png": lambda path: Image.new("RGB", (16, 16)).save(path),
    "input/cut.jpg": lambda path: path.write_bytes((DEMO / "portrait.jpg").read_bytes()[:5000]),
    "input/text.png": lambda path: path.write_text("This is no picture.\n"),
    "input/empty.wav": lambda path: write_wave(path, 0),
    "input/blink.wav": lambda path: write_wave(path, 320),
    "input/nan.wav": write_nan_wave,
    "input/picture.wav": lambda path: path.write_bytes((DEMO / "portrait.jpg").read_bytes()),
    "models/portraittalk/corrupt.safetensors": lambda path: path.write_bytes(b"\xff" * 4096),
    "models/portraittalk/foreign.safetensors": lambda path: save_file({"weight": np.zeros(4, np.float32)}, path),
}

# name: (what is changed in the basic workflow, the node that must say so, words of its sentence)
BAD: dict[str, tuple[dict[str, dict[str, Any]], str, str]] = {
    "no face": ({PORTRAIT: {"image": "wall.png"}}, IDENTITY, "face"),
    "a face that is not there": ({IDENTITY: {"face": "face number", "face.index": 3}}, IDENTITY, "face"),
    "a 16x16 picture": ({PORTRAIT: {"image": "tiny.png"}}, PORTRAIT, "16"),
    "a truncated picture": ({PORTRAIT: {"image": "cut.jpg"}}, PORTRAIT, "cut.jpg"),
    "a text file as picture": ({PORTRAIT: {"image": "text.png"}}, PORTRAIT, "text.png"),
    "a picture that is not there": ({PORTRAIT: {"image": "nowhere.png"}}, PORTRAIT, "nowhere.png"),
    "a path out of the input folder": ({AUDIO: {"audio": "../server.log"}}, AUDIO, "server.log"),
    "empty sound": ({AUDIO: {"audio": "empty.wav"}}, AUDIO, "empty.wav"),
    "a picture as sound": ({AUDIO: {"audio": "picture.wav"}}, AUDIO, "picture.wav"),
    "NaN in the sound": ({AUDIO: {"audio": "nan.wav"}}, AUDIO, "nan.wav"),
    "0.02 s of sound": ({AUDIO: {"audio": "blink.wav"}}, AUDIO, "blink.wav"),
    "a start behind the end": ({AUDIO: {"start": 3600.0}}, AUDIO, "3600"),
    "no frames a second": ({SAMPLER: {"fps": 0.0}}, SAMPLER, "fps"),
    "a scale that is no number": ({SAMPLER: {"identity_scale": float("nan")}}, SAMPLER, "identity"),
    "an overlap as long as the window": ({SAMPLER: {"window": 4, "overlap": 4}}, SAMPLER, "overlap"),
    "a model that is not there": ({MODEL: {"model": "nowhere.safetensors"}}, MODEL, "nowhere.safetensors"),
    "a model with a path": ({MODEL: {"model": "../../main.safetensors"}}, MODEL, "../../main.safetensors"),
    "a corrupt model": ({MODEL: {"model": "corrupt.safetensors"}}, MODEL, "corrupt.safetensors"),
    "a model of something else": ({MODEL: {"model": "foreign.safetensors"}}, MODEL, "foreign.safetensors"),
    "a prompt without a face": ({STYLE: {"prompt": "a red car"}}, STYLE, "a red car"),
    "an output elsewhere": ({COMBINE: {"filename_prefix": "../../elsewhere"}}, COMBINE, "../../elsewhere"),
    "an output without a name": ({COMBINE: {"filename_prefix": ""}}, COMBINE, "name"),
}


@pytest.fixture(scope="module", autouse=True)
def files(server: ComfyServer) -> None:
    for name, write in FILES.items():
        write(server.base / name)


@pytest.fixture(scope="module")
def styled(basic: Prompt) -> Prompt:
    """The basic workflow with a text style before its sampler."""
    texts = {"prompt": "", "negative_prompt": "", "text_scale": 1.0, "guidance_scale": 1.0}
    style = {"class_type": STYLE, "inputs": {"model": [only(basic, MODEL), 0], **texts}}
    return changed({**basic, "style": style}, {SAMPLER: {"style": ["style", 0]}})


@pytest.mark.parametrize("case", BAD)
def test_one_sentence_and_no_file(server: ComfyServer, styled: Prompt, case: str) -> None:
    changes, node, words = BAD[case]
    before = {path for path in server.files() if path.parent.name != "temp"}
    with pytest.raises(NodeError) as refusal:
        server.run(changed(styled, changes))
    sentence = str(refusal.value)
    assert refusal.value.node_type == node
    assert words in sentence
    assert len(sentence) < 300 and "\n" not in sentence and "Traceback" not in sentence
    assert {path for path in server.files() if path.parent.name != "temp"} == before
