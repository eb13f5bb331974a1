"""Layouts of ComfyUI and of the library."""

import importlib

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def convert(pack, nodes):
    return importlib.import_module(f"{pack.__name__}.nodes.convert")


def test_images_come_back_as_they_were(convert):
    image = torch.rand(3, 24, 40, 3)
    frames = convert.to_library(image)
    assert frames.shape == (3, 3, 24, 40)
    assert torch.equal(convert.to_comfy(frames), image)
    assert torch.equal(frames[1, 2], image[1, :, :, 2])


def test_alpha_is_left_out_and_grey_becomes_rgb(convert):
    image = torch.rand(1, 8, 8, 4)
    assert torch.equal(convert.to_library(image), convert.to_library(image[..., :3]))
    grey = convert.to_library(image[..., :1])
    assert grey.shape == (1, 3, 8, 8) and torch.equal(grey[:, 0], grey[:, 2])


def test_what_is_not_an_image_is_refused(convert, library):
    with pytest.raises(library("errors").MediaError, match="connect a picture"):
        convert.to_library(torch.rand(1, 4, 16, 16))


def test_chunks_become_one_image(convert, library):
    frames = torch.rand(7, 3, 10, 12)
    assert torch.equal(convert.FrameCollector(7).collect(frames.split(3)), frames.permute(0, 2, 3, 1))
    collector = convert.FrameCollector(8)
    with pytest.raises(library("errors").MediaError, match="Expected 8 frames but received 7"):
        collector.collect(frames.split(3))


def test_values_out_of_range_are_clamped(convert):
    image = convert.to_comfy(torch.tensor([-0.5, 0.5, 1.5]).reshape(1, 3, 1, 1))
    assert image.flatten().tolist() == [0, 0.5, 1]


def test_sound_comes_back_as_it_was(convert):
    audio = {"waveform": torch.rand(1, 2, 4800) * 2 - 1, "sample_rate": 48000}
    back = convert.audio_to_comfy(convert.audio_to_library(audio))
    assert torch.equal(back["waveform"], audio["waveform"]) and back["sample_rate"] == 48000
    assert back["waveform"].data_ptr() == audio["waveform"].data_ptr()  # long sound is not copied


def test_integers_of_other_nodes_become_audio_at_full_scale(convert):
    waveform = torch.rand(1, 2, 4800) * 2 - 1
    integers = {"waveform": (waveform * 32767).round().to(torch.int16), "sample_rate": 48000}
    floats = {"waveform": integers["waveform"].float(), "sample_rate": 48000}
    for audio in (integers, floats):
        assert (convert.audio_to_library(audio).waveform - waveform[0]).abs().max() < 1e-4


@pytest.mark.parametrize(
    "waveform",
    [torch.zeros(1, 1, 0), torch.full((1, 1, 16000), np.nan), torch.zeros(1, 1, 320)],
    ids=["empty", "NaN", "0.02 s"],
)
def test_sound_that_cannot_be_used_is_refused(convert, library, waveform):
    with pytest.raises(library("errors").MediaError):
        convert.audio_to_library({"waveform": waveform, "sample_rate": 16000})


def test_a_video_without_sound_is_refused_in_words(convert, library):
    with pytest.raises(library("errors").MediaError, match="no sound"):
        convert.audio_to_library(None)


def test_masks(convert):
    mask = torch.rand(2, 5, 6)
    assert torch.equal(convert.mask_to_library(mask), mask[0])
    assert torch.equal(convert.mask_to_library(mask[1]), mask[1])
    alpha = torch.rand(1, 5, 6)
    assert torch.allclose(convert.mask_to_comfy(alpha), 1 - alpha)
