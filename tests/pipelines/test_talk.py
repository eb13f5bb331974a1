"""One call for the whole way: the same frames as its arrows one by one, and what cannot work is refused at once."""

from dataclasses import replace

import pytest
import torch

import portraittalk
from portraittalk.errors import SettingsError
from portraittalk.face.select import FaceChoice
from portraittalk.media.audio import Audio
from portraittalk.media.image import write_png
from portraittalk.motion.track import TENSORS
from portraittalk.motion.transform import fit_to_speech, resample
from portraittalk.pipelines.load import build_pipeline
from portraittalk.pipelines.talk import talk
from portraittalk.types import SamplingSettings, Scales

FPS = 25.0
SETTINGS = SamplingSettings(window=4, overlap=1, seed=2)


@pytest.fixture(scope="module")
def portrait(small_portrait):
    return small_portrait


@pytest.fixture(scope="module")
def sound():
    time = torch.arange(3200) / 16000
    return Audio(0.3 * torch.sin(900 * time)[None], 16000)


def frames_of(chunks):
    return torch.cat(list(chunks))


def test_it_is_its_arrows_one_after_the_other(tiny_model, portrait, sound):
    frames = talk(tiny_model, portrait, sound, "a smile", settings=SETTINGS)
    identity = tiny_model.encode_identity([portrait])
    speech = tiny_model.encode_speech(sound, FPS)
    motion = tiny_model.make_motion(speech, SETTINGS.seed)
    style = tiny_model.encode_style("a smile")
    assert (len(frames), frames.fps) == (5, FPS)
    assert torch.equal(frames.motion.expression, motion.expression)
    expected = frames_of(tiny_model.animate(identity, speech, style, motion, SETTINGS))
    assert torch.equal(frames_of(frames), expected)


def test_what_is_encoded_already_may_stand_for_pictures_and_sound(tiny_model, portrait, sound):
    identity, speech = tiny_model.encode_identity([portrait]), tiny_model.encode_speech(sound, FPS)
    again = talk(tiny_model, identity, speech, settings=SETTINGS, output="crop")
    once = talk(tiny_model, [portrait], sound, settings=SETTINGS, output="crop")
    assert torch.equal(frames_of(again), frames_of(once))


def test_files_are_read(tiny_model, portrait, sound, tmp_path):
    write_png(portrait, tmp_path / "portrait.png")
    frames = talk(
        tiny_model, str(tmp_path / "portrait.png"), sound, settings=SETTINGS, output="crop", choice=FaceChoice(index=0)
    )
    assert frames_of(frames).shape[:2] == (5, 3)


@pytest.mark.parametrize("seconds", [0.2, 0.521, 0.84, 1.0])
@pytest.mark.parametrize("fps", [24.0, 30.0])
def test_a_motion_of_another_frame_rate_fits_every_length(tiny_model, portrait, seconds, fps):
    samples = round(seconds * 16000)
    sound = Audio(0.3 * torch.sin(900 * torch.arange(samples) / 16000)[None], 16000)
    motion = tiny_model.make_motion(tiny_model.encode_speech(sound, FPS))
    frames = talk(tiny_model, portrait, sound, motion=motion, settings=SETTINGS, fps=fps)
    assert len(frames.motion) >= len(frames) == round(seconds * fps)
    fitted = fit_to_speech(motion, len(frames), fps)
    assert torch.equal(fitted.expression[: len(resample(motion, fps))], resample(motion, fps).expression)


def test_liveliness_and_blinks_reach_the_motion(tiny_model, portrait, sound):
    speech = tiny_model.encode_speech(sound, FPS)
    identity = tiny_model.encode_identity([portrait])
    given = {"liveliness": 0.5, "blinks_per_minute": 60.0}
    frames = talk(tiny_model, identity, speech, settings=SETTINGS, **given)
    expected = tiny_model.make_motion(speech, SETTINGS.seed, **given)
    usual = tiny_model.make_motion(speech, SETTINGS.seed)
    assert torch.equal(frames.motion.rotation, expected.rotation)
    assert not torch.equal(expected.rotation, usual.rotation)


def test_a_motion_that_is_much_too_short_is_refused(tiny_model, portrait, sound):
    motion = tiny_model.make_motion(tiny_model.encode_speech(sound, FPS))
    with pytest.raises(portraittalk.PortraitTalkError, match="at least as long"):
        talk(tiny_model, portrait, sound, motion=motion[:2], settings=SETTINGS)


def test_strengths_and_rates_are_checked_before_any_work(tiny_model, portrait, sound):
    strengths = ({"head_motion": -1.0}, {"expression_strength": float("nan")}, {"liveliness": float("inf")})
    for wrong in ({"fps": 0.0}, *strengths, {"blinks_per_minute": -1.0}):
        with pytest.raises(SettingsError):
            talk(tiny_model, portrait, sound, settings=SETTINGS, **wrong)
    with pytest.raises(SettingsError, match="steps"):
        talk(tiny_model, portrait, sound, settings=replace(SETTINGS, steps=0))


def test_models_that_make_their_motion_take_neither_prompt_nor_motion(tiny_echomimic, tiny_model, portrait, sound):
    pytest.importorskip("transformers")
    model = build_pipeline(tiny_echomimic)
    motion = tiny_model.make_motion(tiny_model.encode_speech(sound, FPS))
    for asked in ({"prompt": "a smile"}, {"negative_prompt": "a smile"}, {"motion": motion}):
        with pytest.raises(SettingsError, match="makes its own motion"):
            talk(model, portrait, sound, settings=SETTINGS, **asked)


def test_the_public_names_are_there_and_the_version_is_the_projects(repository):
    for name in portraittalk.__all__:
        assert getattr(portraittalk, name) is not None
    with pytest.raises(AttributeError):
        _ = portraittalk.nothing
    assert f'version = "{portraittalk.__version__}"' in (repository / "pyproject.toml").read_text()


def test_a_mood_changes_how_one_moves_and_a_text_scale_of_0_leaves_the_motion_alone(tiny_model, portrait):
    sound = Audio(0.3 * torch.sin(900 * torch.arange(16000) / 16000)[None], 16000)
    identity, speech = tiny_model.encode_identity([portrait]), tiny_model.encode_speech(sound, FPS)
    unscaled = replace(SETTINGS, scales=Scales(text=0.0))
    usual, sad, none = (
        talk(tiny_model, identity, speech, prompt, settings=settings).motion
        for prompt, settings in (("", SETTINGS), ("sad", SETTINGS), ("sad, nodding, not blinking", unscaled))
    )
    assert sad.rotation.std() < 0.9 * usual.rotation.std()
    assert all(torch.equal(getattr(none, name), getattr(usual, name)) for name in TENSORS)


def test_a_prompt_changes_over_time(tiny_model, portrait):
    sound = Audio(0.3 * torch.sin(900 * torch.arange(32000) / 16000)[None], 16000)
    identity, speech = tiny_model.encode_identity([portrait]), tiny_model.encode_speech(sound, FPS)

    def motion(prompt):
        style = tiny_model.encode_style(prompt)
        made = tiny_model.make_motion(speech, SETTINGS.seed, style=style)
        return tiny_model.motion_for(speech, style, made, 1.0)[0]

    timed, sad, smiling = (motion(prompt) for prompt in ("[:1] sad [1:] a big smile", "sad", "a big smile"))
    early, late = slice(0, round(0.6 * FPS)), slice(round(1.4 * FPS), None)
    assert torch.allclose(timed.expression[early], sad.expression[early], atol=1e-6)
    assert torch.allclose(timed.expression[late], smiling.expression[late], atol=1e-6)
    assert torch.allclose(timed.rotation[early], sad.rotation[early], atol=1e-6)
    frames = talk(tiny_model, identity, speech, "[:1] sad [1:] a big smile", settings=SETTINGS, output="crop")
    assert len(torch.cat(list(frames))) == 50
