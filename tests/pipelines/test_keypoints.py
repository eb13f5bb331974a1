"""LivePortrait's pipeline from a picture and a motion to frames, with narrow random networks."""

import copy
from dataclasses import fields, replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.expressions import with_expressions
from portraittalk.errors import MotionError, SettingsError
from portraittalk.face.align import bounds
from portraittalk.face.expression_crop import expression_crop
from portraittalk.face.mesh import MeshProvider
from portraittalk.models.liveportrait.keypoints import FaceMotion
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.base import Checkpoint
from portraittalk.pipelines.talk import talk
from portraittalk.types import SamplingSettings, Speech, Style

FRAMES, FPS = 5, 25.0
OWN = {"volume", "offsets", "closing", "depth"}
SETTINGS = SamplingSettings(chunk=2)


@pytest.fixture(scope="module")
def identity(keypoint_identity):
    return keypoint_identity


@pytest.fixture(scope="module")
def speech(noise_speech):
    return noise_speech


@pytest.fixture(scope="module")
def motion(opening):
    expression = opening.expression.clone()
    expression[:, ARKIT_INDEX["browInnerUp"]] = torch.linspace(0.6, 0, FRAMES)
    still = MotionTrack.of_expression(expression, FPS)
    return replace(still, rotation=torch.tensor([[0.05, 0.1, 0.02]]) * torch.linspace(0, 1, FRAMES)[:, None])


@pytest.fixture
def animate(tiny_keypoint_model, identity, speech, motion):
    def run(settings=SETTINGS, **changes):
        arguments = dict(identity=identity, speech=speech, style=Style(), motion=motion, settings=settings) | changes
        return torch.cat(list(tiny_keypoint_model.animate(**arguments)))

    return run


def test_a_person_is_a_volume_keypoints_and_a_map(identity, small_portrait, small_face, tiny_keypoint_model):
    names = {field.name for field in fields(FaceMotion)} | OWN
    assert identity.reference.keys() == names
    assert identity.reference["volume"].shape == (1, 4, 2, 32, 32)
    assert identity.reference["offsets"].shape == (52, 21, 3)
    crop = expression_crop(small_face.landmarks, tuple(small_portrait.shape[-2:]), 256)
    torch.testing.assert_close(identity.crop.matrix, crop.matrix)
    small = tiny_keypoint_model._reduced(identity.references[:1])
    torch.testing.assert_close(
        tiny_keypoint_model.motion_extractor(small).points(),
        FaceMotion(**{name: identity.reference[name] for name in names - OWN}).points(),
    )


def test_frames_move_with_the_motion_and_only_inside_of_the_crop(animate, small_portrait, identity):
    frames = animate()
    assert frames.shape == (FRAMES, *small_portrait.shape) and frames.amin() >= 0 and frames.amax() <= 1
    assert (frames[1:] - frames[:-1]).abs().amax((1, 2, 3)).min() > 0.02
    changed = (frames != small_portrait).any(0).any(0).nonzero()
    assert len(changed) > 1000
    x0, y0, x1, y1 = bounds(identity.crop)
    assert changed[:, 0].min() >= y0 and changed[:, 0].max() < y1
    assert changed[:, 1].min() >= x0 and changed[:, 1].max() < x1


def test_frames_do_not_depend_on_chunks_seed_and_steps(animate):
    whole = animate(SamplingSettings(chunk=FRAMES))
    torch.testing.assert_close(animate(replace(SETTINGS, seed=3, steps=9)), whole, atol=1e-4, rtol=0)
    assert torch.equal(animate(), animate())


def test_a_run_can_be_taken_up_between_chunks(animate):
    saved = []
    whole = animate(checkpoint=Checkpoint(save=lambda frames, latents: saved.append(frames)))
    assert saved == [0, 2, 4]
    assert torch.equal(animate(checkpoint=Checkpoint(4, torch.zeros(1))), whole[4:])


def test_progress_counts_chunks_and_can_end_the_run(animate):
    seen = []
    animate(progress=seen.append)
    assert [step.done for step in seen if step.preview is not None] == [1, 2, 3] and seen[-1].total == 3

    class Cancelled(BaseException):
        pass

    def cancel(step):
        raise Cancelled

    with pytest.raises(Cancelled):
        animate(progress=cancel)


def test_prompts_act_through_motion_and_looks_through_the_portrait(
    tiny_keypoint_model, animate, identity, small_portrait
):
    slow = Speech(torch.zeros(3, 20, 80), 2.0, 1.5)  # an expression takes 0.6 s to come
    still = MotionTrack.of_expression(torch.zeros(3, 52), 2.0)
    plain = animate(speech=slow, motion=still)
    smiling = animate(speech=slow, motion=still, style=tiny_keypoint_model.encode_style("a broad smile"))
    assert torch.equal(plain[0], smiling[0]) and (plain[-1] - smiling[-1]).abs().amax() > 0.02
    style = tiny_keypoint_model.encode_style("a pencil drawing")
    drawn, shown = animate(speech=slow, motion=still, style=style), tiny_keypoint_model.shown_portrait(identity, style)
    assert (drawn[0, :, :, 0] - small_portrait[:, :, 0]).abs().mean() > 0.01  # beyond the crop as well
    torch.testing.assert_close(drawn[0, :, :, 0], shown.portrait[:, :, 0])


def test_motion_is_made_from_speech_as_for_mini(tiny_keypoint_model, identity, speech):
    frames = talk(tiny_keypoint_model, identity, speech, settings=SETTINGS)
    assert frames.motion is not None and len(frames.motion) == FRAMES
    assert sum(len(chunk) for chunk in frames) == FRAMES


def test_half_precision_moves_the_same_way(tiny_keypoint_model, identity, small_face, small_portrait, motion, speech):
    """Keypoints stay in single precision; bf16 pictures are a little off."""
    coarse = {name: copy.deepcopy(module) for name, module in tiny_keypoint_model.modules().items()}
    for name in ("appearance", "warping", "generator"):
        coarse[name].bfloat16()
    model = replace(tiny_keypoint_model, **coarse)
    again = model.encode_identity([small_portrait], faces=[[small_face]])
    assert again.reference["volume"].dtype == torch.bfloat16
    torch.testing.assert_close(again.reference["offsets"], identity.reference["offsets"])
    settings, short = SamplingSettings(chunk=2), replace(speech, features=speech.features[:2])
    rough, exact = (
        torch.cat(list(one.animate(person, short, None, motion, settings)))
        for one, person in ((model, again), (tiny_keypoint_model, identity))
    )
    assert rough.dtype == torch.float32 and (rough - exact).abs().mean() < 0.03


class Drawn(torch.nn.Module):
    """A generator that draws the same picture whatever it is given."""

    def __init__(self, picture):
        super().__init__()
        self.picture = torch.nn.Parameter(picture[None], requires_grad=False)

    def forward(self, features):
        return self.picture


def test_lips_that_a_drawn_frame_leaves_apart_are_closed_further(
    tiny_keypoint_model, identity, small_portrait, small_face, basis
):
    """The portrait's mouth is opened by geometry; what is drawn of closed lips is given."""
    expression = torch.zeros(3, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = torch.tensor([0.6, 0.2, 0.0])
    track = MotionTrack.of_expression(expression, FPS)
    landmarks = small_face.landmarks
    opened, ajar, closed = torch.cat(list(with_expressions(small_portrait, landmarks, torch.zeros(52), track, basis)))
    face = MeshProvider()(opened)[0]
    drawing = replace(tiny_keypoint_model, generator=Drawn(ajar))
    person = drawing.encode_identity([opened], faces=[[face]])
    unclosed = replace(person, reference=person.reference | {"closing": torch.ones(1)})
    gains = [person.reference["closing"]]
    for left in (closed, torch.zeros_like(closed)):  # in the last, there is no face
        gains.append(replace(drawing, generator=Drawn(left))._closing(unclosed))
    assert gains[0] > 1.15 > 1.1 > gains[1] >= 1 and gains[2] == 1
    assert identity.reference["closing"] == 1


def test_what_does_not_fit_is_refused_in_a_sentence(tiny_keypoint_model, tiny_model, identity, speech, motion):
    with pytest.raises(SettingsError, match="encode the identity with the model"):
        tiny_model.animate(identity, speech, motion=motion)
    with pytest.raises(SettingsError, match="another kind of model"):
        tiny_keypoint_model.animate(replace(identity, reference={}), speech, motion=motion)
    with pytest.raises(MotionError, match="needs a motion track"):
        tiny_keypoint_model.animate(identity, speech)
    with pytest.raises(SettingsError, match="cannot render a given structure"):
        tiny_keypoint_model.render(identity, speech, Style(), lambda frames: None, SETTINGS)
    with pytest.raises(SettingsError, match="cannot edit pictures"):
        tiny_keypoint_model.edit_portrait(identity, Style())
