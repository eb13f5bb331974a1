import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import interpolate

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.compose import CropData
from portraittalk.compositing.draw import mouth_opening
from portraittalk.compositing.structure import build_structure
from portraittalk.errors import FaceError, MotionError, SettingsError
from portraittalk.motion.track import MotionTrack
from portraittalk.types import SamplingSettings, Scales, Style

FRAMES = 14  # three windows
FPS = 25.0
SETTINGS = SamplingSettings(steps=2, window=6, overlap=2)


@pytest.fixture(scope="module")
def portrait(small_portrait):
    return small_portrait


@pytest.fixture(scope="module")
def portrait_face(small_face):
    return small_face


@pytest.fixture(scope="module")
def identity(tiny_model, portrait, portrait_face):
    return tiny_model.encode_identity([portrait], faces=[[portrait_face]])


@pytest.fixture(scope="module")
def speech(noise_speech):
    return noise_speech


@pytest.fixture(scope="module")
def motion(opening):
    return opening


@pytest.fixture
def animate(tiny_model, identity, speech, motion):
    def run(settings=SETTINGS, **changes):
        arguments = dict(identity=identity, speech=speech, style=Style(), motion=motion, settings=settings) | changes
        return tiny_model.animate(**arguments)

    return run


@pytest.fixture(scope="module")
def usual(tiny_model, identity, speech, motion):
    """The frames without any changes."""
    return torch.cat(list(tiny_model.animate(identity, speech, Style(), motion, SETTINGS)))


class Stop(BaseException):
    """As ComfyUI's interrupt: not an Exception."""


def test_identity_of_one_and_of_several_pictures(tiny_model, portrait, portrait_face, identity):
    assert identity.tokens.shape == (4, 32) and identity.references.shape == (1, 3, 64, 64)
    assert torch.equal(identity.portrait, portrait) and identity.blendshapes.shape == (52,)
    assert identity.landmarks[:, :2].mean(0).sub(32).abs().max() < 8  # the face fills the crop
    darker = tiny_model.encode_identity([portrait, portrait * 0.8], faces=[[portrait_face]] * 2)
    assert darker.tokens.shape == (8, 32) and len(darker.references) == 2
    assert torch.allclose(darker.tokens[:4], identity.tokens, atol=1e-5)


def test_no_picture_and_no_face_are_refused(tiny_model, portrait):
    with pytest.raises(FaceError):
        tiny_model.encode_identity([])
    with pytest.raises(FaceError):
        tiny_model.encode_identity([portrait], faces=[[]])


def test_there_is_one_frame_for_each_of_the_speech_and_only_the_face_differs(usual, identity, portrait):
    assert usual.shape == (FRAMES, *portrait.shape)
    assert usual.amin() >= 0 and usual.amax() <= 1
    x0, y0, x1, y1 = CropData(portrait, identity.crop).box
    changed = (usual != portrait).any(0).any(0)
    assert changed[y0:y1, x0:x1].any()
    changed[y0:y1, x0:x1] = False
    assert not changed.any()


def test_the_same_seed_gives_the_same_frames_and_another_one_others(animate):
    first, again, other = (torch.cat(list(animate(replace(SETTINGS, seed=seed)))) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_window_as_long_as_the_speech_is_no_windows(animate):
    exact = torch.cat(list(animate(replace(SETTINGS, window=FRAMES, overlap=0))))
    longer = torch.cat(list(animate(replace(SETTINGS, window=32, overlap=8))))
    assert torch.equal(exact, longer)


def test_a_preview_shows_the_first_frames_of_the_whole(animate, usual, speech):
    start = replace(speech, features=speech.features[:6], seconds=6 / FPS)
    assert torch.allclose(torch.cat(list(animate(speech=start)))[:4], usual[:4], atol=1e-5)


def test_a_still_face_has_no_seams(animate, speech, identity):
    """Where nothing but the noise changes, frames at a window's border differ no more than others do."""
    still = replace(speech, features=speech.features[:1].expand(FRAMES, -1, -1))
    motion = MotionTrack.of_expression(torch.zeros(FRAMES, 52), FPS)
    frames = torch.cat(list(animate(speech=still, motion=motion, output="crop")))
    steps = (frames[1:] - frames[:-1]).abs().flatten(1).mean(1)
    borders = torch.tensor([4, 8]) - 1  # where the second and third window begin
    assert steps[borders].max() < 2 * steps.mean()


def test_crops_are_square_and_hold_as_many_pixels_as_the_picture(animate, identity):
    crops = torch.cat(list(animate(output="crop")))
    side = CropData(identity.portrait, identity.crop).native_size
    assert crops.shape == (FRAMES, 3, side, side)


def test_frames_come_window_by_window(animate, usual):
    seen = []
    frames = animate(progress=seen.append)
    assert not seen
    first = next(frames)
    assert len(first) <= 4 and seen[-1].done < seen[-1].total / 2
    list(frames)
    done = [p.done for p in seen]
    assert done == sorted(done) and set(done) == set(range(seen[-1].total + 1))
    assert torch.equal(seen[-1].preview, usual[-1])


def test_cancelling_at_any_step_ends_the_run(animate):
    steps = []
    list(animate(progress=steps.append))
    for last in (1, 3, len(steps) // 2):
        counter = itertools.count(1)

        def cancel(progress, last=last, counter=counter):
            if next(counter) == last:
                raise Stop

        with pytest.raises(Stop):
            list(animate(progress=cancel))


def test_between_lips_that_the_portrait_keeps_closed_a_mouth_is_painted(tiny_model, identity, speech, motion):
    def frames(painted):
        model = replace(tiny_model, config=replace(tiny_model.config, painted_mouth=painted))
        return torch.cat(list(model.animate(identity, speech, Style(), motion, SETTINGS, output="crop")))

    bare, painted = frames(0.0), frames(1.0)
    size = tiny_model.config.crop_size
    structure = build_structure(identity, motion, tiny_model.basis, tiny_model.config)
    opening = interpolate(mouth_opening(structure.landmarks, size), bare.shape[-2:], mode="bilinear")
    changed = (painted - bare).abs().amax(1, keepdim=True)
    assert changed[opening == 0].max() < 0.01  # the edge of its soft border
    assert changed[-1].max() > 0.1 and changed[0].max() < 0.02
    wide = painted[-1:] * (opening[-1:] > 0.9)
    assert (wide.amin(1) > 0.4).any()  # teeth: bright, and of no colour


def test_the_painted_mouth_has_the_tongue_of_the_track(tiny_model, identity, speech, motion, painted_tongues):
    model = replace(tiny_model, config=replace(tiny_model.config, painted_mouth=1.0))
    licking = replace(motion, tongue=torch.linspace(0, 1, FRAMES), expression=motion.expression.clone())
    licking.expression[:, ARKIT_INDEX["tongueOut"]] = torch.linspace(0.5, 0, FRAMES)
    list(model.animate(identity, speech, Style(), licking, SETTINGS))
    assert torch.equal(torch.cat([tongue.raised for tongue in painted_tongues]), licking.tongue)
    assert torch.equal(torch.cat([tongue.out for tongue in painted_tongues]), torch.linspace(0.5, 0, FRAMES))


def test_a_black_and_white_portrait_speaks_in_black_and_white(tiny_model, portrait, portrait_face, speech, motion):
    grey = portrait.mean(0, keepdim=True).expand(3, -1, -1)
    identity = tiny_model.encode_identity([grey], faces=[[portrait_face]])
    frames = torch.cat(list(tiny_model.animate(identity, speech, Style(), motion, SETTINGS)))
    assert (frames.amax(1) - frames.amin(1)).max() < 0.02
    assert (frames - grey).abs().max() > 0.1


def test_speech_scaled_to_zero_is_not_heard(animate, usual, speech):
    silent = replace(speech, features=torch.zeros_like(speech.features))
    deaf = replace(SETTINGS, scales=Scales(speech=0))
    assert torch.equal(torch.cat(list(animate(deaf))), torch.cat(list(animate(deaf, speech=silent))))
    assert not torch.equal(usual, torch.cat(list(animate(speech=silent))))


def test_what_does_not_fit_is_refused_before_any_work(animate, identity, motion):
    with pytest.raises(MotionError):
        animate(motion=motion[: FRAMES - 1])
    with pytest.raises(MotionError):
        animate(motion=replace(motion, fps=30.0))
    with pytest.raises(SettingsError):
        animate(replace(SETTINGS, steps=0))
    with pytest.raises(SettingsError):
        animate(identity=replace(identity, crop=replace(identity.crop, size=128)))
