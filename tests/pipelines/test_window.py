"""The pipeline that draws a mouth window, with tiny random networks."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import interpolate

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.expressions import with_expressions
from portraittalk.compositing.lip_shade import LipShade
from portraittalk.compositing.mouth_window import mouth_window
from portraittalk.compositing.structure import build_structure
from portraittalk.compositing.window_layers import LIMIT, Layers
from portraittalk.errors import MotionError, SettingsError
from portraittalk.face.align import eye_distance, from_crop
from portraittalk.face.mesh import MeshProvider
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines import window
from portraittalk.pipelines.base import Checkpoint
from portraittalk.pipelines.load import load_model
from portraittalk.pipelines.window import lending
from portraittalk.types import Face, SamplingSettings, Scales, Style

FRAMES = 6
FPS = 25.0
SETTINGS = SamplingSettings(steps=2)


@pytest.fixture(scope="module")
def identity(tiny_window_model, small_portrait, small_face):
    return tiny_window_model.encode_identity([small_portrait], faces=[[small_face]])


@pytest.fixture(scope="module")
def speech(noise_speech):
    return noise_speech


@pytest.fixture(scope="module")
def motion(opening):
    return opening


@pytest.fixture
def animate(tiny_window_model, identity, speech, motion):
    def run(settings=SETTINGS, **changes):
        arguments = dict(identity=identity, speech=speech, style=Style(), motion=motion, settings=settings) | changes
        return torch.cat(list(tiny_window_model.animate(**arguments)))

    return run


@pytest.fixture(scope="module")
def usual(tiny_window_model, identity, speech, motion):
    """The frames without any changes."""
    return torch.cat(list(tiny_window_model.animate(identity, speech, Style(), motion, SETTINGS)))


def changed_by(difference, black, identity, structure, config):
    """The residual of pictures that differ from their input, in a photograph that shows black like this."""
    light = replace(identity.close_ups[0].light, black=torch.tensor(black))
    close_up = replace(identity.close_ups[0], light=light)
    layers = Layers(replace(identity, close_ups=(close_up,)), config, None)
    changed, unchanged = (layers(structure, structure.warped + more).drawn.residual for more in (difference, 0.0))
    return (changed - unchanged).abs().amax()


def test_clear_photographs_limit_what_the_network_changes(tiny_window_model, identity, motion):
    config = tiny_window_model.config
    structure = build_structure(identity, motion, tiny_window_model.basis, config, turn_later=True)
    clear, film = (changed_by(0.2, black, identity, structure, config) for black in (0.0, 0.5))
    assert 0 < clear < LIMIT
    assert film > 8 * clear  # ten times as much, where the mask lets all of it through
    torch.testing.assert_close(
        *(changed_by(0.002, black, identity, structure, config) for black in (0.0, 0.5)), rtol=0.05, atol=0
    )


def box_of_window(identity, crop_size):
    """(x0, y0, x1, y1) in pixels of the portrait, a little larger than the window."""
    window = mouth_window(identity.landmarks, crop_size)
    corners = torch.stack((window.corner, window.corner + window.side)) * crop_size
    low, high = from_crop(corners, identity.crop)
    return (*(low - 2).int().tolist(), *(high + 3).int().tolist())


def test_the_shipped_decoder_draws_what_decoding_twice_does(portrait, noise_speech, opening):
    """On a portrait as coarse as a film, in which AnimateNet changes more than in a sharp one."""
    model = load_model(dtype=torch.float32)
    (coarse,) = interpolate(portrait[None], (192, 192), mode="area")
    identity = model.encode_identity([coarse])
    noise, features = model.noise(0), noise_speech.features
    structure = model.structure(identity, opening, model.basis)
    inputs = window.WindowInputs(identity.tokens, structure, features, noise)
    once = model.draw(inputs, SETTINGS) - structure.warped
    twice = replace(model, difference_decoder=None).draw(inputs, SETTINGS)
    twice -= structure.warped
    assert twice.abs().mean() > 0.5 / 255, "AnimateNet changes nothing, so nothing is tested"
    assert (once - twice).abs().mean() < 0.3 * twice.abs().mean()
    assert (once - twice).abs().amax() < 20 / 255


def test_a_person_is_known_by_mouths_alone(tiny_window_model, small_portrait, small_face, identity):
    assert identity.tokens.shape == (4, 32) and len(identity.close_ups) == 1
    assert identity.close_ups[0].picture.shape == (3, 64, 64)  # twice as far as the window reaches
    assert identity.close_ups[0].inside is not None  # known before the first frame
    other = tiny_window_model.encode_identity([small_portrait, small_portrait], faces=[[small_face]] * 2)
    assert other.tokens.shape == (8, 32) and torch.allclose(other.tokens[:4], identity.tokens, atol=1e-5)
    eyes_hidden = small_portrait.clone()
    top = int(small_face.landmarks[[133, 362], 1].max()) + 4
    eyes_hidden[:, :top] = 0.5
    assert torch.equal(tiny_window_model.encode_identity([eyes_hidden], faces=[[small_face]]).tokens, identity.tokens)


def test_large_faces_keep_their_detail_between_the_lips(tiny_window_model, small_portrait, small_face, motion, speech):
    """The network adds its difference at its own density to a window of twice that."""
    (large,) = interpolate(small_portrait[None], scale_factor=3, mode="bilinear")
    face = replace(small_face, landmarks=small_face.landmarks * 3)
    pipeline, size = tiny_window_model, tiny_window_model.config.window_size
    identity = pipeline.encode_identity([large], faces=[[face]])
    structure = pipeline.structure(identity, motion, pipeline.basis)
    assert structure.warped.shape[-1] == 2 * size
    noise, features = pipeline.noise(0), speech.features[: len(structure)]
    inputs = window.WindowInputs(identity.tokens, structure, features, noise)
    drawn = pipeline.draw(inputs, SETTINGS)
    coarse = replace(structure, warped=interpolate(structure.warped, (size, size), mode="bilinear", antialias=True))
    difference = pipeline.draw(replace(inputs, structure=coarse), SETTINGS) - coarse.warped
    expected = structure.warped + interpolate(difference, (2 * size, 2 * size), mode="bicubic")
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)
    frames = torch.cat(list(pipeline.animate(identity, speech, Style(), motion, SETTINGS)))
    assert frames.shape[1:] == large.shape


def test_frames_lie_in_the_range_of_pictures(usual, small_portrait):
    assert usual.shape == (FRAMES, *small_portrait.shape) and usual.amin() >= 0 and usual.amax() <= 1


def test_a_motion_may_be_longer_than_the_speech(animate, usual, motion):
    longer = MotionTrack.of_expression(torch.cat((motion.expression, motion.expression)), FPS)
    assert torch.equal(animate(motion=longer), usual)


def test_another_seed_changes_the_window_alone(animate, identity, tiny_window_model):
    first, again, other = (animate(replace(SETTINGS, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    changed = (first != other).any(0).any(0)
    x0, y0, x1, y1 = box_of_window(identity, tiny_window_model.config.crop_size)
    assert changed[y0:y1, x0:x1].any()
    changed[y0:y1, x0:x1] = False
    assert not changed.any()


def test_frames_do_not_depend_on_how_many_are_computed_together(animate):
    assert torch.allclose(animate(replace(SETTINGS, chunk=1)), animate(replace(SETTINGS, chunk=6)), atol=1e-4)


def test_frames_of_equal_speech_and_motion_are_equal(animate, speech):
    """No noise flickers from frame to frame."""
    same = replace(speech, features=speech.features[:1].expand(FRAMES, -1, -1))
    still = MotionTrack.of_expression(torch.full((1, 52), 0.1).expand(FRAMES, -1), FPS)
    frames = animate(speech=same, motion=still)
    assert torch.allclose(frames, frames[:1].expand_as(frames), atol=1e-5)


@pytest.mark.parametrize("branch", ["identity", "speech", "structure"])
def test_every_branch_acts_and_is_switched_off_by_its_scale(animate, usual, branch):
    assert (usual - animate(replace(SETTINGS, scales=Scales(**{branch: 0.0})))).abs().max() > 1e-4


def test_between_opening_lips_a_mouth_is_painted_before_the_network_draws(tiny_window_model, identity, motion):
    structure = build_structure(identity, motion, tiny_window_model.basis, tiny_window_model.config, True)
    assert structure.borrowed[0].max() == 0 and structure.borrowed[-1].max() > 0.9
    inside = structure.borrowed[-1, 0] > 0.9
    pixels = structure.warped[-1][:, inside]
    assert pixels.min() < 0.3 and (pixels.amin(0) > 0.4).any()  # a dark cavity, and teeth: bright, and of no colour


def test_the_painted_mouth_has_the_tongue_of_the_track(tiny_window_model, identity, motion, painted_tongues):
    licking = replace(motion, tongue=torch.linspace(0, 1, FRAMES), expression=motion.expression.clone())
    licking.expression[:, ARKIT_INDEX["tongueOut"]] = 0.25
    parts = [
        build_structure(identity, licking[frames], tiny_window_model.basis, tiny_window_model.config, True)
        for frames in (slice(0, 2), slice(2, FRAMES))
    ]
    assert torch.equal(painted_tongues[-1].raised, licking.tongue[2:])
    assert torch.equal(painted_tongues[-1].out, torch.full((FRAMES - 2,), 0.25))
    assert torch.equal(torch.cat([part.tongue[:, 0] for part in parts]), licking.tongue)


def open_jaw(landmarks, basis):
    unit = float((landmarks[263] - landmarks[33]).norm())
    return landmarks + unit * 0.6 * basis.expression[ARKIT_INDEX["jawOpen"]]


def with_green_mouth(picture, landmarks):
    """Return a picture whose mouth, as landmarks say, is green."""
    green = picture.clone()
    inner = landmarks[[13, 14], 1].int().tolist()
    left, right = landmarks[[78, 308], 0].int().tolist()
    green[:, inner[0] : inner[1], left:right] = torch.tensor((0.0, 1.0, 0.0))[:, None, None]
    return green


def test_an_open_mouth_is_taken_from_another_reference(tiny_window_model, small_portrait, small_face, motion, speech):
    """The other reference is the same picture with a green mouth, said to be open."""
    opened = open_jaw(small_face.landmarks, tiny_window_model.basis)
    green = with_green_mouth(small_portrait, opened)
    identity = tiny_window_model.encode_identity(
        [small_portrait, green], faces=[[small_face], [Face(opened, small_face.blendshapes)]]
    )
    assert len(identity.close_ups) == 2
    quiet = replace(SETTINGS, steps=1)
    frames = torch.cat(list(tiny_window_model.animate(identity, speech, Style(), motion, quiet)))
    greenness = (frames[:, 1] - frames[:, [0, 2]].amax(1)).amax((1, 2))
    assert greenness[-1] > greenness[0] + 0.3


def test_a_turned_face_lends_no_mouth_and_that_is_said(tiny_window_model, small_face, caplog):
    closed = small_face.landmarks
    opened = open_jaw(closed, tiny_window_model.basis)
    middle = opened.mean(0)
    x, y, z = (opened - middle).unbind(1)
    turned = torch.stack((0.8 * x + 0.6 * z, y, 0.8 * z - 0.6 * x), 1) + middle
    assert lending(torch.stack((closed, turned, closed, opened))) == [3]
    assert "picture 2 is turned by" in caplog.text and "picture 3" not in caplog.text


def test_a_look_is_applied_to_mouth_and_portrait(tiny_window_model, animate, small_portrait):
    style = tiny_window_model.encode_style("a pencil drawing")
    assert style.look is not None
    frames = animate(style=style)
    colour = (frames.amax(1) - frames.amin(1)).mean()
    assert colour < 0.5 * (small_portrait.amax(0) - small_portrait.amin(0)).mean()


def test_a_grey_portrait_speaks_in_grey(tiny_window_model, small_portrait, small_face, speech, motion):
    grey = small_portrait.mean(0, keepdim=True).expand(3, -1, -1)
    identity = tiny_window_model.encode_identity([grey], faces=[[small_face]])
    frames = torch.cat(list(tiny_window_model.animate(identity, speech, Style(), motion, SETTINGS)))
    assert (frames.amax(1) - frames.amin(1)).max() < 0.02 and (frames - grey).abs().max() > 0.1


@pytest.mark.parametrize("grey", [False, True])
def test_lips_that_stand_apart_in_the_portrait_darken_where_they_meet(
    tiny_window_model, small_portrait, small_face, basis, noise_speech, grey, monkeypatch
):
    jaw = torch.zeros(FRAMES, 52)
    jaw[:, ARKIT_INDEX["jawOpen"]] = 0.5
    track = MotionTrack.of_expression(jaw[:1], FPS)
    picture = small_portrait.mean(0, keepdim=True).expand(3, -1, -1) if grey else small_portrait
    (opened,) = torch.cat(list(with_expressions(picture, small_face.landmarks, torch.zeros(52), track, basis)))
    face = MeshProvider()(opened)[0]
    identity = tiny_window_model.encode_identity([opened], faces=[[face]])
    closing = MotionTrack.of_expression(torch.zeros(FRAMES, 52), FPS)
    still = replace(SETTINGS, scales=Scales(0.0, 0.0, 0.0))
    shut, plain = torch.empty(2, *opened.shape)
    for result in (shut, plain):
        result[:] = list(tiny_window_model.animate(identity, noise_speech, Style(), closing, still))[-1][-1]
        monkeypatch.setattr(LipShade, "__call__", lambda self, landmarks: torch.ones(()))
    structure = build_structure(identity, closing[-1:], tiny_window_model.basis, tiny_window_model.config, True)
    x, y = from_crop(structure.landmarks[0, [13, 14], :2].mean(0), identity.crop).round().int().tolist()
    unit = float(eye_distance(small_face.landmarks))
    lips = (slice(None), slice(y - round(0.08 * unit), y + round(0.08 * unit)), x)
    assert (shut / plain)[lips].mean(0).min() < 0.85
    if grey:
        assert (shut.amax(0) - shut.amin(0)).max() < 0.02


def test_progress_counts_to_its_total_and_cancelling_ends_the_run(tiny_window_model, identity, speech, motion):
    class Stop(BaseException):
        """As ComfyUI's interrupt: not an Exception."""

    seen = []

    def run(progress):
        return tiny_window_model.animate(identity, speech, Style(), motion, SETTINGS, progress=progress)

    frames = run(seen.append)
    assert not seen
    first = next(frames)
    assert len(first) == SETTINGS.chunk and seen[-1].done == 1 < seen[-1].total
    list(frames)
    done = [step.done for step in seen]
    assert done == sorted(done) and set(done) == set(range(seen[-1].total + 1))
    for last in (1, len(seen) // 2):
        counter = itertools.count(1)

        def cancel(progress, last=last, counter=counter):
            if next(counter) == last:
                raise Stop

        with pytest.raises(Stop):
            list(run(cancel))


def test_frames_are_drawn_in_smaller_parts_where_memory_runs_out(animate, usual, tiny_window_model, monkeypatch):
    draw, sizes = type(tiny_window_model).draw, []

    def full(self, inputs, *rest):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("Allocation on device")
        return draw(self, inputs, *rest)

    monkeypatch.setattr(type(tiny_window_model), "draw", full)
    assert torch.allclose(animate(replace(SETTINGS, chunk=2)), usual, atol=1e-4)
    assert sizes == [2, 4, 2, 2]


def test_a_run_can_be_taken_up_after_every_chunk(animate):
    """The last four frames are drawn together, and pasted two by two."""
    saved, settings = [], replace(SETTINGS, chunk=2)
    whole = animate(settings, checkpoint=Checkpoint(save=lambda frames, latents: saved.append(frames)))
    assert saved == [0, 2, 4]
    for start in saved[1:]:
        assert torch.equal(animate(settings, checkpoint=Checkpoint(start=start)), whole[start:])


def test_large_pictures_are_pasted_in_smaller_parts(animate, identity, tiny_window_model, speech, motion, monkeypatch):
    frames = animate()
    monkeypatch.setattr(window, "LARGEST_KEPT", 4 * identity.portrait.numel() * 3)
    parts = list(tiny_window_model.animate(identity, speech, Style(), motion, SETTINGS))
    assert [len(part) for part in parts] == [3, 1, 2]
    # What turns depends on the frames that are pasted together, and so does the rounding of matrix products.
    assert torch.allclose(torch.cat(parts), frames, rtol=0, atol=1e-6)


def test_what_does_not_fit_is_refused_before_any_work(animate, identity, motion, tiny_model, speech):
    with pytest.raises(MotionError):
        animate(motion=motion[: FRAMES - 1])
    with pytest.raises(SettingsError, match="another kind"):
        animate(identity=replace(identity, close_ups=()))
    with pytest.raises(SettingsError, match="another kind"):
        tiny_model.animate(identity, speech, Style(), motion)


def test_crops_hold_what_the_frames_hold(animate, identity, tiny_window_model):
    crops = animate(output="crop")
    assert crops.shape[0] == FRAMES and crops.shape[-1] == crops.shape[-2] >= tiny_window_model.config.crop_size
    small = interpolate(crops, (64, 64), mode="bilinear", antialias=True)
    assert (small[0] - identity.references[0]).abs().mean() < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_half_precision_gives_about_the_same_frames(half_portrait, half_face, dtype):
    """With the weights that ship: IdentityNet's features exceed the range of fp16."""
    from portraittalk.media.audio import Audio
    from portraittalk.pipelines.load import load_model

    time = torch.arange(3200) / 16000
    frames = []
    for precision in (torch.float32, dtype):
        model = load_model(dtype=precision)
        identity = model.encode_identity([half_portrait], faces=[[half_face]])
        speech = model.encode_speech(Audio(torch.sin(900 * time)[None], 16000), 25.0)
        frames.append(next(model.animate(identity, speech, motion=model.make_motion(speech))))
    assert (frames[1] - frames[0]).abs().max() < 0.03
