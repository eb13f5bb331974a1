"""The public functions with values of the wrong kind or range: one sentence before any work."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import portraittalk
from portraittalk.arkit import ARKIT_NAMES
from portraittalk.types import SamplingSettings

NAN = float("nan")
SPEECH = portraittalk.Audio(0.1 * torch.ones(1, 3200), 16000)
PICTURE = torch.full((3, 64, 64), 0.5)
MOTION = portraittalk.MotionTrack.of_expression(torch.zeros(5, len(ARKIT_NAMES)), 25.0)

# words of the sentence: the arguments of ``talk`` that are wrong
TALK = {
    "The model must be a model of load_model": {"model": None},
    "There is no model": {"model": "nowhere"},
    "The portraits must be pictures": {"portraits": 5},
    "The picture must be a path, not None": {"portraits": [None]},
    "No picture was given": {"portraits": []},
    "The portrait must have the shape (3, H, W), not (64, 64, 3)": {"portraits": PICTURE.movedim(0, -1)},
    "The portrait must hold floating-point numbers from 0 to 1, not uint8": {"portraits": (PICTURE * 255).byte()},
    "The portrait has values from": {"portraits": PICTURE * 255},
    "The portrait contains NaN": {"portraits": PICTURE * NAN},
    "The portrait is empty": {"portraits": PICTURE[:, :0]},
    "Picture 2 must have the shape": {"portraits": [PICTURE, PICTURE[0]]},
    "The audio must be a path, not None": {"audio": None},
    "The audio must be a path, not an object of type Tensor": {"audio": SPEECH.waveform},
    "the waveform must be a tensor (channels, samples), not an object of type ndarray": {
        "audio": portraittalk.Audio(np.zeros((1, 3200)), 16000)
    },
    "the waveform must have the shape (channels, samples), not (3200,)": {
        "audio": portraittalk.Audio(SPEECH.waveform[0], 16000)
    },
    "the sample rate in Hz must be a whole number between 1000 and 1000000, not 0": {
        "audio": portraittalk.Audio(SPEECH.waveform, 0)
    },
    "The audio contains NaN or infinity": {"audio": portraittalk.Audio(SPEECH.waveform * NAN, 16000)},
    "The audio is empty": {"audio": portraittalk.Audio(SPEECH.waveform[:, :0], 16000)},
    "The prompt must be text, not None": {"prompt": None},
    "The negative prompt must be text, not 3": {"negative_prompt": 3},
    "The motion track must be a MotionTrack": {"motion": "motion.json"},
    "The motion track: fps must be a number": {"motion": portraittalk.MotionTrack.of_expression(MOTION.expression, 0)},
    "The settings must be SamplingSettings": {"settings": {"steps": 1}},
    "The number of steps must be a whole number": {"settings": SamplingSettings(steps="2")},
    "The frame rate, in frames per second, must be a number between 1 and 120, not 'fast'": {"fps": "fast"},
    "not 1000000000.0": {"fps": 1e9},
    "The head motion must be a number between 0 and 10, not nan": {"head_motion": NAN},
    "The expression strength must be a number between 0 and 10, not -1": {"expression_strength": -1},
    "The output must be one of full, crop, not 'whole'": {"output": "whole"},
    "The choice of the face must be a FaceChoice, not 0": {"choice": 0},
}


def refused(words, function, *values, **named):
    with pytest.raises(portraittalk.PortraitTalkError) as error:
        function(*values, **named)
    sentence = str(error.value)
    assert words in sentence and sentence.endswith(".") and "\n" not in sentence, sentence


@pytest.mark.parametrize("words", TALK)
def test_talk(tiny_model, words):
    given = {"model": tiny_model, "portraits": PICTURE, "audio": SPEECH, **TALK[words]}
    refused(words, portraittalk.talk, **given)


@pytest.mark.parametrize("path", [None, 3, b"x", ["x"], "a\0b", torch.zeros(1)])
def test_paths(path, tmp_path):
    frames = [PICTURE[None]]
    for function in (portraittalk.read_image, portraittalk.read_audio, portraittalk.MotionTrack.load, MOTION.save):
        refused("must be a path", function, path)
    refused("must be a path", portraittalk.write_video, frames, path, 25.0)


def test_readers(tmp_path):
    demo = Path(portraittalk.__file__).parent / "assets" / "demo"
    for side in (0, -1, 31, 64.5, "64", NAN, True):
        refused("The longest side", portraittalk.read_image, demo / "portrait.jpg", side)
    for start in (-1, NAN, math.inf, "0", None):
        refused("The start", portraittalk.read_audio, demo / "speech.wav", start)
    for duration in (0, -1, NAN, math.inf, "1", True):
        refused("The duration", portraittalk.read_audio, demo / "speech.wav", duration=duration)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("The frames must be chunks", {"frames": None}),
        ("A chunk of frames must have the shape (N, 3, H, W), not (3, 64, 64)", {"frames": PICTURE[None]}),
        ("not an object of type ndarray", {"frames": [PICTURE[None].numpy()]}),
        ("must hold floating-point numbers", {"frames": [(PICTURE[None] * 255).byte()]}),
        ("has values from", {"frames": [PICTURE[None] * 255]}),
        ("contains NaN", {"frames": [PICTURE[None] * NAN]}),
        ("must have the shape (N, 3, 64, 64)", {"frames": [PICTURE[None], PICTURE[None, :, 1:]]}),
        ("is empty", {"frames": [PICTURE[None][:0]]}),
        ("The frame rate", {"fps": 0}),
        ("The frame rate", {"fps": 1e-6}),
        ("The frame rate", {"fps": 1e9}),
        ("The frame rate", {"fps": "25"}),
        ("The frame rate", {"fps": None}),
        ("The audio must be", {"audio": "speech.wav"}),
        ("the sample rate in Hz", {"audio": portraittalk.Audio(SPEECH.waveform, None)}),
        ("The video format", {"kind": "avi"}),
        ("The quality", {"quality": 101}),
        ("The quality", {"quality": 80.5}),
        ("The metadata must be a mapping of text to text", {"metadata": ["x"]}),
        ("The metadata must be a mapping of text to text", {"metadata": {"seed": 1}}),
    ],
)
def test_write_video(tmp_path, words, wrong):
    refused(
        words, portraittalk.write_video, **{"frames": [PICTURE[None]], "path": tmp_path / "x.mp4", "fps": 25, **wrong}
    )
    assert not list(tmp_path.iterdir())


def test_models_and_faces():
    refused("The model must be a name or a path, not 3", portraittalk.load_model, 3)
    refused("The device 'gpu' is not available", portraittalk.load_model, "mini", device="gpu")
    refused("The device must be", portraittalk.load_model, "mini", device=None)
    refused("The precision must be a dtype of torch", portraittalk.load_model, "mini", dtype="fp16")
    for wrong in ({"index": 0.5}, {"box": 3}, {"box": (1, 2, 3)}, {"box": (1, 2, 3, "4")}, {"mask": [[1]]}):
        refused("face", portraittalk.FaceChoice, **wrong)
