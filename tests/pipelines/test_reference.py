"""From a picture and a sound to frames with a model of public weights: the real classes, tiny and random."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from random_pipeline import random_pipeline

from portraittalk.compositing.compose import crop_data
from portraittalk.compositing.draw_control import face_box_map
from portraittalk.errors import SettingsError
from portraittalk.face.align import from_crop
from portraittalk.media.audio import Audio
from portraittalk.types import Face, SamplingSettings

pytest.importorskip("transformers")

FPS, FRAMES = 25.0, 6
SETTINGS = SamplingSettings(steps=2, window=4, overlap=1)
QUICK = SamplingSettings(steps=1, window=FRAMES, overlap=1)  # where it is enough that something reaches the frames


@pytest.fixture(scope="module")
def model(tiny_echomimic):
    return random_pipeline(replace(tiny_echomimic, fast_decoder=True))


@pytest.fixture(scope="module")
def identity(model, small_portrait, small_face):
    return model.encode_identity([small_portrait], faces=[[small_face]])


@pytest.fixture(scope="module")
def speech(model):
    time = torch.arange(int(16000 * FRAMES / FPS)) / 16000
    return model.encode_speech(Audio(torch.sin(900 * time)[None], 16000), FPS)


@pytest.fixture(scope="module")
def animate(model, identity, speech):
    def run(settings=SETTINGS, **changes):
        arguments = {"identity": identity, "speech": speech, "output": "crop"} | changes
        return torch.cat(list(model.animate(settings=settings, **arguments)))

    return run


def test_there_is_one_frame_for_each_of_the_speech_and_only_the_crop_differs(animate, speech, identity, small_portrait):
    assert len(speech) == FRAMES
    frames = animate(output="full")
    assert frames.shape == (FRAMES, *small_portrait.shape)
    assert frames.min() >= 0 and frames.max() <= 1
    changed = (frames != small_portrait).any(0).any(0).nonzero()
    x0, y0, x1, y1 = crop_data(identity).box
    assert changed[:, 0].min() >= y0 and changed[:, 0].max() < y1
    assert changed[:, 1].min() >= x0 and changed[:, 1].max() < x1


def test_nothing_of_the_picture_stays_behind_the_middle_of_the_crop(animate, identity, speech):
    frames = animate(QUICK, output="full")
    other = replace(identity, portrait=identity.portrait.flip(0))
    x, y = from_crop(identity.landmarks, identity.crop)[:, :2].mean(0).tolist()
    middle = (..., slice(int(y) - 5, int(y) + 5), slice(int(x) - 5, int(x) + 5))
    torch.testing.assert_close(animate(QUICK, identity=other, output="full")[middle], frames[middle], atol=0.03, rtol=0)


def test_the_same_seed_gives_the_same_frames_and_speech_and_seed_matter(animate, speech):
    assert torch.equal(animate(), animate())
    first = animate(QUICK)
    assert not torch.allclose(first, animate(replace(QUICK, seed=1)), atol=1e-3)
    assert not torch.allclose(first, animate(QUICK, speech=replace(speech, features=-speech.features)), atol=1e-3)


def test_fast_decoding_and_previews_are_those_of_the_fast_decoder(animate, model, identity, speech):
    seen = []
    animate(replace(SETTINGS, fast_decode=True), progress=seen.append)
    assert [step.done for step in seen] == list(range(1, seen[0].total + 1))
    assert all(step.preview.shape == (3, 128, 128) for step in seen)
    slow = replace(model, config=replace(model.config, fast_decoder=False), fast_decoder=None)
    with pytest.raises(SettingsError, match="fast"):
        slow.animate(identity, speech, settings=replace(SETTINGS, fast_decode=True))


@pytest.mark.slow  # where bf16 is emulated
def test_half_precision_gives_about_the_same_frames(animate, model, identity, speech):
    speech = replace(speech, features=speech.features[:3], seconds=3 / FPS)
    settings = replace(SETTINGS, steps=1)
    exact = animate(settings, speech=speech)
    coarse = replace(model, **{name: deepcopy(module).bfloat16() for name, module in model.modules().items()})
    again = coarse.encode_identity([identity.portrait], faces=[[Face(from_crop(identity.landmarks, identity.crop))]])
    frames = torch.cat(list(coarse.animate(again, speech, settings=settings, output="crop")))
    assert frames.dtype == torch.float32
    assert (frames - exact).abs().mean() < 0.05


def test_the_map_is_the_faces_box_a_little_enlarged():
    landmarks = torch.zeros(478, 3)
    landmarks[:, :2] = torch.tensor([20.0, 30.0])
    landmarks[0, :2] = torch.tensor([60.0, 110.0])
    drawn = face_box_map(landmarks, 128)[0]
    assert drawn.sum() == 48 * 96
    assert drawn[22:118, 16:64].all()
