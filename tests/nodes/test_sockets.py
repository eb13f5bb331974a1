"""What sockets do not expect: one sentence that names the input and the reason."""

import importlib

import numpy as np
import pytest
import torch

WAVE = torch.zeros(1, 2, 16000)
NAN, INF = float("nan"), float("inf")

# name: (AUDIO, words of the sentence)
AUDIO = {
    "missing": (None, "no sound"),
    "list": ([WAVE, 16000], "must be a dictionary of waveform and sample_rate, not an object of type list"),
    "tensor": (WAVE, "of type Tensor"),
    "no waveform": ({"sample_rate": 16000}, "has no 'waveform'"),
    "no rate": ({"waveform": WAVE}, "has no 'sample_rate'"),
    "no keys": ({}, "has no 'waveform'"),
    "waveform None": ({"waveform": None, "sample_rate": 16000}, "waveform must be a tensor (batch, channels, samples)"),
    "numpy": ({"waveform": np.zeros((1, 1, 16000)), "sample_rate": 16000}, "not an object of type ndarray"),
    "1-D": ({"waveform": torch.zeros(16000), "sample_rate": 16000}, "not (16000,)"),
    "2-D": ({"waveform": torch.zeros(2, 16000), "sample_rate": 16000}, "not (2, 16000)"),
    "4-D": ({"waveform": torch.zeros(1, 1, 2, 16000), "sample_rate": 16000}, "not (1, 1, 2, 16000)"),
    "complex": ({"waveform": WAVE * 1j, "sample_rate": 16000}, "must hold real numbers, not complex64"),
    "bool": ({"waveform": WAVE > 0, "sample_rate": 16000}, "must hold real numbers, not bool"),
    "no samples": ({"waveform": WAVE[..., :0], "sample_rate": 16000}, "is empty"),
    "no channels": ({"waveform": WAVE[:, :0], "sample_rate": 16000}, "is empty"),
    "no clips": ({"waveform": WAVE[:0], "sample_rate": 16000}, "is empty"),
    "0.02 s": ({"waveform": WAVE[..., :320], "sample_rate": 16000}, "is only 0.020 s long"),
    "NaN": ({"waveform": WAVE + NAN, "sample_rate": 16000}, "NaN or infinity"),
    "infinity": ({"waveform": WAVE + INF, "sample_rate": 16000}, "NaN or infinity"),
    **{
        f"rate {rate!r}": ({"waveform": WAVE, "sample_rate": rate}, "sample rate in Hz must be a whole number")
        for rate in (0, -16000, None, "16000", NAN, 22050.5, True, 1, 10**9, [16000])
    },
}

# name: (IMAGE, words of the sentence)
IMAGE = {
    "None": (None, "must be a tensor (B, H, W, C), not None"),
    "numpy": (np.zeros((1, 8, 8, 3), np.float32), "not an object of type ndarray"),
    "list": ([torch.zeros(1, 8, 8, 3)], "not an object of type list"),
    "3-D": (torch.zeros(8, 8, 3), "must have the shape (B, H, W, C), not (8, 8, 3)"),
    "5-D": (torch.zeros(1, 1, 8, 8, 3), "not (1, 1, 8, 8, 3)"),
    "channels first": (torch.zeros(1, 3, 8, 8), "8 channels"),
    "2 channels": (torch.zeros(1, 8, 8, 2), "2 channels"),
    "no channels": (torch.zeros(1, 8, 8, 0), "is empty"),
    "H=0": (torch.zeros(1, 0, 8, 3), "is empty: its shape is (1, 0, 8, 3)"),
    "empty batch": (torch.zeros(0, 8, 8, 3), "is empty"),
    "uint8": (torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "floating-point numbers from 0 to 1, not uint8"),
    "int64": (torch.zeros(1, 8, 8, 3, dtype=torch.long), "not int64"),
    "complex": (torch.zeros(1, 8, 8, 3) * 1j, "not complex64"),
    "NaN": (torch.full((1, 8, 8, 3), NAN), "contains NaN or infinity"),
    "one infinity": (torch.zeros(1, 8, 8, 3).index_fill(2, torch.tensor(3), INF), "contains NaN or infinity"),
    "0..255": (torch.linspace(0, 255, 192).reshape(1, 8, 8, 3), "has values from 0 to 255, but pictures have 0 to 1"),
    "-1..1": (torch.linspace(-1, 1, 192).reshape(1, 8, 8, 3), "has values from -1 to 1"),
}

# name: (MASK, words of the sentence)
MASK = {
    "None": (None, "must be a tensor (B, H, W)"),
    "numpy": (np.zeros((1, 8, 8)), "not an object of type ndarray"),
    "empty batch": (torch.zeros(0, 8, 8), "is empty: its shape is (0, 8, 8)"),
    "H=0": (torch.zeros(1, 0, 8), "is empty"),
    "1-D": (torch.zeros(8), "not (8,)"),
    "an IMAGE": (torch.zeros(1, 8, 8, 3), "not (1, 8, 8, 3)"),
    "NaN": (torch.full((1, 8, 8), NAN), "contains NaN or infinity"),
}


@pytest.fixture(scope="module")
def convert(pack, nodes):
    return importlib.import_module(f"{pack.__name__}.nodes.convert")


@pytest.fixture
def refused(library):
    """refused(name, words, function, ...): calls the function, which must refuse the input of this name."""

    def check(name, words, function, *values, **named):
        with pytest.raises(library("errors").PortraitTalkError) as error:
            function(*values, **named)
        sentence = str(error.value)
        assert name in sentence and words in sentence, sentence
        assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 200

    return check


@pytest.mark.parametrize("case", AUDIO)
def test_audio(convert, refused, case):
    audio, words = AUDIO[case]
    refused("The input 'speech'", words, convert.audio_to_library, audio, "speech")


@pytest.mark.parametrize("case", IMAGE)
def test_image(convert, refused, case):
    image, words = IMAGE[case]
    refused("The input 'reference0'", words, convert.to_library, image, "reference0")


@pytest.mark.parametrize("case", MASK)
def test_mask(convert, refused, case):
    mask, words = MASK[case]
    refused("The input 'mask'", words, convert.mask_to_library, mask)


def test_unusual_values_that_work(convert):
    for rate in (16000.0, np.int64(16000), 8000, 384_000):
        assert convert.audio_to_library({"waveform": WAVE, "sample_rate": rate}).sample_rate == rate
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert convert.audio_to_library({"waveform": WAVE.to(dtype), "sample_rate": 16000}).samples == 16000
        assert convert.to_library(torch.ones(1, 8, 8, 3, dtype=dtype)).dtype == torch.float32
    sharpened = torch.tensor([-0.3, 0.2, 1.4]).expand(1, 8, 8, 3)
    assert convert.to_library(sharpened).amax() == pytest.approx(1.4)
    highlights = torch.zeros(1, 8, 8, 3)
    highlights[:, 2] = 6.0  # of a picture with high dynamic range
    assert convert.to_library(highlights).amax() == 6
    assert convert.mask_to_library(torch.full((2, 1, 8, 8), 255.0)).amax() == 1


def test_audio_may_be_any_mapping(convert):
    class Lazy(dict):
        """A mapping that reads its file when it is asked, as other packs have."""

    assert convert.audio_to_library(Lazy(waveform=WAVE, sample_rate=16000)).samples == 16000


@pytest.mark.parametrize("fps", [0.0, NAN, INF, 1e9, None])
def test_frame_rates_from_other_nodes(run, refused, fps):
    frames, audio = torch.zeros(1, 64, 64, 3), {"waveform": WAVE, "sample_rate": 16000}
    words = "must be a number between 1 and 120"
    for name, inputs in (
        ("PortraitTalkSaveVideo", {"frames": frames, "fps": fps, "format": {"format": "mp4"}, "filename_prefix": "x"}),
        ("PortraitTalkEvaluate", {"frames": frames, "audio": audio, "fps": fps}),
    ):
        refused("The frame rate", words, run, name, **inputs)


def test_nodes_name_their_input(run, refused, library):
    flat, bad = torch.zeros(1, 64, 64, 3), torch.zeros(64, 64, 3)
    audio, silent = {"waveform": WAVE, "sample_rate": 16000}, {"waveform": WAVE, "sample_rate": 0}
    mp4 = {"format": {"format": "mp4", "quality": 80}, "filename_prefix": "x"}
    frames = {**mp4, "frames": flat, "fps": 25.0, "audio": silent}
    to_motion = {"model": None, "head_motion": 1.0, "expression_strength": 1.0, "seed": 0}
    box = {"face": "box", "x": NAN, "y": 0, "width": 10, "height": 10}
    for words, node, inputs in (
        ("'frames'", "SaveVideo", {**frames, "frames": bad}),
        ("'frames'", "SaveVideo", {**frames, "frames": flat + NAN, "audio": None}),
        ("'audio'", "SaveVideo", frames),
        ("'frames'", "Evaluate", {"frames": bad, "audio": audio, "fps": 25.0}),
        ("'audio'", "Evaluate", {"frames": flat, "audio": silent, "fps": 25.0}),
        ("'crops'", "PasteBack", {"crops": bad, "crop_data": None, "scale": 1.0}),
        ("'scale'", "PasteBack", {"crops": flat, "crop_data": None, "scale": NAN}),
        ("'audio'", "SpeechToMotion", {**to_motion, "audio": silent}),
        ("'reference1'", "IdentityEncode", references(flat, bad) | {"face": {"face": "largest face"}, "max_side": 0}),
        ("'max_side'", "IdentityEncode", references(flat) | {"face": {"face": "largest face"}, "max_side": -1}),
        ("'mask'", "IdentityEncode", references(flat) | {"face": {"face": "mask", "mask": WAVE[:0]}, "max_side": 0}),
        (
            "index of the face",
            "IdentityEncode",
            references(flat) | {"face": {"face": "face number", "index": "x"}, "max_side": 0},
        ),
        (
            "detect them on one batch",
            "IdentityEncode",
            references(flat)
            | {"face": {"face": "face landmarks", "landmarks": {"frames": [[]]}, "index": 0}, "max_side": 0},
        ),
        ("'x'", "IdentityEncode", references(flat) | {"face": box, "max_side": 0}),
    ):
        refused(words, "", run, f"PortraitTalk{node}", **inputs)


def references(*pictures):
    return {"model": None, "references": {f"reference{number}": picture for number, picture in enumerate(pictures)}}
