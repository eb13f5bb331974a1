"""Networks that return NaN, as damaged files and overflows in half precision make them: said, and no frame is shown."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from tiny_public import random_reference_model

from portraittalk.errors import WeightsError
from portraittalk.media.audio import Audio
from portraittalk.pipelines.talk import talk
from portraittalk.types import SamplingSettings
from portraittalk.weights.layouts import LAYOUTS

SETTINGS = SamplingSettings(steps=1, window=4, overlap=1)


@pytest.fixture
def speak(small_portrait, small_face):
    """speak(model): talk with a moment of a tone, on a known face or for a person that is encoded already."""
    tone = torch.sin(torch.arange(2560) / 16).mul(0.3)[None]

    def run(model, identity=None):
        if identity is None:
            identity = model.encode_identity([small_portrait], faces=[[small_face]])
        return talk(model, identity, Audio(tone, 16000), settings=SETTINGS, output="crop")

    return run


def broken(model, name):
    """The model with one network of which every parameter is NaN."""
    network = deepcopy(getattr(model, name))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    return replace(model, **{name: network})


@pytest.mark.parametrize("name", ["animate_net", "autoencoder"])
def test_pictures_of_windows(tiny_window_model, speak, name):
    with pytest.raises(WeightsError, match="'tiny-window' returned pictures with values that are not finite"):
        list(speak(broken(tiny_window_model, name)))


@pytest.mark.parametrize("name", ["animate_net", "autoencoder"])
def test_pictures_of_crops(tiny_model, speak, name):
    with pytest.raises(WeightsError, match="'tiny' returned pictures"):
        list(speak(broken(tiny_model, name)))


@pytest.mark.parametrize("name", ["warping", "generator"])
def test_pictures_of_keypoints(tiny_keypoint_model, keypoint_identity, speak, name):
    with pytest.raises(WeightsError, match="returned pictures"):
        list(speak(broken(tiny_keypoint_model, name), keypoint_identity))


@pytest.mark.parametrize("name", ["animate_net", "autoencoder", "speech_encoder"])
def test_pictures_of_public_weights(tiny_echomimic, speak, name):
    pytest.importorskip("transformers")
    model = random_reference_model(replace(LAYOUTS["echomimic"], config=tiny_echomimic))
    with pytest.raises(WeightsError, match="returned pictures"):
        list(speak(broken(model, name)))


def test_motion(tiny_window_model, speak):
    with pytest.raises(WeightsError, match="returned motion"):
        speak(broken(tiny_window_model, "motion_net"))
