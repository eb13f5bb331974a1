"""Mistakes of users on every command: one sentence, which names the input and what to do, and never a traceback."""

import os
import shutil
import wave

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.errors import PortraitTalkError

TALK = "animate face.jpg --audio s.wav --out x.mp4"
MISTAKES = {
    "animate": "Missing argument 'PORTRAIT'",
    "animate face.jpg --out x.mp4": "Missing option '--audio'",
    "animate face.jpg --audio s.wav --out x.mov": "x.mov has no supported suffix: use one of .mp4",
    "animate missing.png --audio s.wav --out x.mp4": "missing.png does not exist: check the path",
    "animate https://a.b/c.png --audio s.wav --out x.mp4": "it is an address: download the file",
    "animate text.png --audio s.wav --out x.mp4": "text.png is not an image in a supported format: give a PNG",
    "animate pdf.png --audio s.wav --out x.mp4": "pdf.png is a PDF document: export the page",
    "animate s.wav --audio s.wav --out x.mp4": "s.wav is a sound file: give a picture",
    "animate empty --audio s.wav --out x.mp4": "empty is an empty file",
    "animate folder --audio s.wav --out x.mp4": "folder is a folder: give an image file",
    "animate face.jpg --audio face.jpg --out x.mp4": "face.jpg has no audio track: give an audio file",
    "animate face.jpg --audio text.png --out x.mp4": "text.png",
    f"{TALK} --preview 1e-9": "duration, in seconds, must be a finite number of at least 0.04, not 1e-09",
    f"{TALK} --fps 0": "frame rate, in frames per second, must be a number between 1 and 120, not 0",
    f"{TALK} --fps abc": "Invalid value for '--fps'",
    f"{TALK} --steps 0": "number of steps must be a whole number between",
    f"{TALK} --seed -1": "seed must be a whole number between",
    f"{TALK} --head-motion 1e30": "head motion must be a number between 0 and 10",
    f"{TALK} --expression-strength nan": "expression strength must be a number between 0 and 10",
    f"{TALK} --blinks 1e30": "blinks per minute must be a number between 0 and 120",
    f"{TALK} --device meta": "device 'meta' is not available; use auto, cpu",
    f"{TALK} --model nope": "no model named 'nope'; available models: mini",
    f"{TALK} --models-dir . --model text": "text.safetensors is damaged or not a .safetensors file",
    f"{TALK} --models-dir . --model other": "other.safetensors is not a file of PortraitTalk weights",
    f"{TALK} --motion-in text.png": "not valid JSON",
    f"{TALK} --motion-edit text.png": "not valid JSON",
    f"{TALK} --landmarker foo": "no landmarker 'foo': choose own or mediapipe",
    f"{TALK} --window 0": "window, in frames, must be a whole number between",
    f"{TALK} --strength 0.5": "remove --strength",
    f"{TALK} --max-size 8": "--max-size must be at least 64 pixels",
    f"{TALK} --foo": "No such option: --foo",
    "animte": "Did you mean 'animate'",
    "edit face.jpg --out x.jpg --model mini": "x.jpg cannot be written: choose a file name that ends in .png",
    "edit missing.png --out x.png --model mini": "missing.png does not exist",
    "edit text.png --out x.png --model mini": "text.png is not an image",
    "edit face.jpg --out x.png --model nope": "no model named 'nope'",
    "evaluate missing.mp4 --out-dir out": "missing.mp4 does not exist",
    "evaluate face.jpg --out-dir out": "face.jpg is a picture: give the speech for it with --audio",
    "evaluate face.jpg --audio s.wav --out-dir out --phones text.png": "There is no folder text.png",
    "evaluate face.jpg --audio s.wav --out-dir out --metric-weights nodir": "nodir has no metric weights: add",
    "evaluate face.jpg --audio s.wav --out-dir out --model nope": "no model named 'nope'",
    "evaluate face.jpg --audio s.wav --out-dir out --liveliness 11": "The liveliness must be a number between 0 and 10",
    "benchmark folder --out out --liveliness nan": "The liveliness must be a number between 0 and 10",
    "benchmark nodir --out b": "There is no folder nodir",
    "benchmark folder --out b": "folder contains no pictures or videos",
    "check-prompts missing.png --audio s.wav": "missing.png does not exist",
    "check-prompts face.jpg ./copy/face.jpg --audio s.wav": "would both be written as face: rename",
    "prepare nodir --out p": "There is no folder nodir",
    "prepare folder --out p": "folder contains no videos or pictures",
    "prepare folder --out p --fps 0": "frame rate, in frames per second, must be a number between",
    "prepare folder --out p --shortest nan": "--shortest must be above 0",
    "prepare folder --out p --eyes nan": "--eyes must be at least 0 pixels",
    "weights get nope --models-dir mm": "no public weights named 'nope'",
    "weights get echomimic": "Give the models folder with --models-dir",
    "weights list --models-dir text.png": "There is no folder text.png: check --models-dir",
    "weights verify --models-dir text.png": "There is no folder text.png",
    "weights convert echomimic --models-dir mm": "Files of echomimic are missing: run",
    "weights convert missing.pth": "no weights file at missing.pth",
    "weights convert text.pth": "text.pth is damaged or contains more than tensors",
    "weights convert other.safetensors": "other.safetensors needs no conversion",
    "weights convert echomimic --file vae --out x.safetensors": "--file vae names no file: write NAME=PATH",
    "weights convert echomimic --file a=b --out x.safetensors": "needs the files",
    "weights selftest nope": "no model named 'nope'",
    "weights pack --out x.safetensors --autoencoder other.safetensors --identity-net other.safetensors "
    "--animate-net other.safetensors --motion-net other.safetensors": "other.safetensors, given as autoencoder, misses",
    "train autoencoder --out r": "The run needs 'clips'",
    "train autoencoder --out r --clips nodir": "'clips' nodir does not exist",
    "train autoencoder --out r --clips folder": "folder contains no .safetensors files",
    "train autoencoder --out r --clips clips": "a.safetensors is not a prepared clip",
    "train autoencoder --out r --clips clips --leave-out a": "no .safetensors files besides those left out",
    "train autoencoder --out r --clips clips --config folder": "folder cannot be read",
    "train autoencoder --out r --clips clips --config text.png": "text.png is not TOML",
    "train autoencoder --out r --clips clips --set foo=1": "no setting foo; known settings",
    "train autoencoder --out r --clips clips --steps 0": "training.trainer.steps cannot be 0",
    "train autoencoder --out r --clips clips --start other.safetensors": "other.safetensors misses keys",
    "train tracks nodir --out t": "There is no folder nodir",
    "train tracks folder --out t": "folder contains no videos or pictures",
    "train teeth --ict text.pth --out t.safetensors": "text.pth is not ICT-FaceKit",
    "train motion --out r --clips folder --tracks folder --phones folder --basis x": "'basis' x does not exist",
    "train embed --clips nodir --out e.safetensors": "There is no folder nodir",
    "train pairs --out r --clips clips --autoencoder other.safetensors --basis other.safetensors": "misses keys",
    "train animate --out r --stage 1 --pairs clips": "a.safetensors is not a pair file",
    "train distil --out r --pairs clips --teacher missing.safetensors": "'teacher' missing.safetensors does not exist",
    "train adfd fit --out r --clips clips --sounds folder": "No clip in clips has audio in folder",
    "train adfd rank a.mp4": "Give at least two videos",
    "train face pictures --images folder --out f": "folder contains no pictures",
    "train face driven --clips clips --out f --basis other.safetensors": "other.safetensors misses keys",
    "train face detector --out r --pictures clips --clips clips": "a.safetensors is not a prepared clip",
    "train face pack --detector missing --mesh other.safetensors --expression other.safetensors --out x.safetensors": (
        "no weights file at missing"
    ),
    "train face matte missing.tflite --out x.safetensors": "missing.tflite does not exist",
    "train look net --out r --portraits folder": "folder contains no pictures",
    "train look reader --out r --net other.safetensors --file x.safetensors": "other.safetensors misses keys",
    "train look check missing.png --audio s.wav": "missing.png does not exist",
    "train text reader --out r2 --encoder other.safetensors --file x.safetensors": "other.safetensors misses keys",
    "train text dictionary --out r3 --wordnet folder --encoder other.safetensors": "folder has no data.adj",
}


@pytest.fixture(scope="module")
def folder(repository, tmp_path_factory):
    """A portrait, a second of silence, and files that are something else than their names say."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "copy").mkdir()
    (folder / "folder").mkdir()
    (folder / "clips").mkdir()
    with Image.open(repository / "portraittalk/assets/demo/portrait.jpg") as image:
        image.resize((192, 192)).save(folder / "face.jpg")
    shutil.copy(folder / "face.jpg", folder / "copy")
    with wave.open(str(folder / "s.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    for name in ("text.png", "text.pth", "text.safetensors"):
        (folder / name).write_text("hello, these are words")
    (folder / "pdf.png").write_bytes(b"%PDF-1.7")
    (folder / "empty").touch()
    for name in ("other.safetensors", "clips/a.safetensors"):
        save_file({"weight": torch.zeros(1)}, folder / name)
    return folder


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_explained_in_a_sentence(folder, monkeypatch, line):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PORTRAITTALK_MODELS", raising=False)
    result = CliRunner().invoke(cli.app, line.split())
    if isinstance(result.exception, SystemExit):  # of the parser of the command line
        assert result.exit_code == 2
        said = result.output
    else:
        assert isinstance(result.exception, PortraitTalkError), repr(result.exception)
        said = str(result.exception)
        assert "\n" not in said and said.endswith((".", "?"))
    assert MISTAKES[line] in said
    assert not [name for name in os.listdir(folder) if name.startswith("x.")]
