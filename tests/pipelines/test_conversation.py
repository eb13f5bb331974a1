"""Several people of one picture: each moves as if alone, and all voices are heard."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import interpolate

from portraittalk.errors import FaceError, SettingsError
from portraittalk.face.align import from_crop
from portraittalk.face.mesh import MeshProvider
from portraittalk.face.select import FaceChoice, choose_face
from portraittalk.media.audio import Audio
from portraittalk.pipelines.conversation import Speaker, converse, faces_from_left, in_turns, merged
from portraittalk.pipelines.talk import talk
from portraittalk.types import SamplingSettings

SETTINGS = SamplingSettings(window=4, overlap=1, seed=2)
RATE = 16000


def tone(seconds: float, start: float = 0.0, rate: int = RATE, height: float = 0.6) -> Audio:
    """A tone from ``start`` to ``seconds``, silence before."""
    time = torch.arange(round(seconds * rate)) / rate
    return Audio((height * torch.sin(900 * time) * (time >= start))[None], rate)


@pytest.fixture(scope="module")
def couple(portrait):
    """The demo portrait on the right, and a smaller one on the left."""
    left, right = (interpolate(portrait[None], (side, side), mode="area")[0] for side in (144, 192))
    picture = torch.full((3, 192, 336), 0.5)
    picture[:, 24:168, :144], picture[:, :, 144:] = left, right
    return picture


@pytest.fixture(scope="module")
def found(couple):
    """A landmarker that looks at the couple once."""
    faces = MeshProvider()(couple)
    return lambda image: faces


@pytest.fixture(scope="module")
def talked(tiny_model, couple, found):
    """A conversation of two, its frames, and its faces from left to right."""
    left, right = faces_from_left(couple, 2, found)
    speakers = [Speaker(tone(0.2), left), Speaker(tone(0.3, 0.2, 22050), right)]
    conversation = converse(tiny_model, couple, speakers, SETTINGS, provider=found)
    return conversation, torch.cat(list(conversation))


def test_it_is_as_long_as_the_longest_speech_and_all_voices_are_heard(talked, couple):
    conversation, frames = talked
    assert frames.shape == (8, *couple.shape) and len(conversation) == 8 and conversation.fps == 25.0
    audio = conversation.audio
    assert audio.sample_rate == 22050 and audio.seconds == pytest.approx(0.3, abs=1e-3)
    assert all(audio.waveform[0, at : at + 2000].abs().max() > 0.3 for at in (1000, 4500))
    assert audio.waveform.abs().max() <= 1


def test_each_side_is_that_of_its_person_alone(tiny_model, talked, couple):
    conversation, frames = talked
    for person, side in zip(conversation.people, (slice(0, 130), slice(160, None)), strict=True):
        alone = talk(tiny_model, person.identity, person.speech, motion=person.motion, settings=SETTINGS)
        assert torch.equal(frames[..., side], torch.cat(list(alone))[..., side])
        assert (frames[1:, ..., side] - couple[..., side]).abs().max() > 0.02


def test_the_left_one_says_the_first_speech(talked):
    identities = [person.identity for person in talked[0].people]
    left, right = (float(from_crop(one.landmarks, one.crop)[:, 0].mean()) for one in identities)
    assert left < 144 < right


def test_speeches_take_turns():
    first, second, third = in_turns([tone(0.2), tone(0.3, rate=22050), tone(0.1)], pause=0.5)
    assert first.seconds == pytest.approx(0.2)
    assert second.sample_rate == 22050 and second.seconds == pytest.approx(1.0, abs=1e-4)
    assert not second.waveform[:, : round(0.69 * 22050)].any() and second.waveform[:, round(0.71 * 22050) :].any()
    assert third.seconds == pytest.approx(1.6, abs=1e-4)


def test_a_change_belongs_to_who_made_it():
    picture = torch.zeros(3, 4, 4)
    first, second = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    first[:, :, :2] = 0.5
    second[:, :, 1:3] = 0.8
    nobody = torch.zeros(1, 4, 4)
    (frames,) = merged([iter([first]), iter([second])], [picture, picture], [nobody, nobody])
    assert frames[0, 0, :, 0].tolist() == pytest.approx([0.5, 0.8, 0.8, 0.0])


def test_what_shows_a_person_is_changed_by_that_person_alone():
    picture = torch.zeros(3, 4, 4)
    first, second = torch.full((2, 3, 4, 4), 0.2), torch.full((2, 3, 4, 4), 0.8)
    owned = torch.zeros(2, 1, 4, 4)
    owned[0, :, 0], owned[1, :, 1], owned[0, :, 2] = 1, 1, 0.5
    (frames,) = merged([iter([first]), iter([second])], [picture, picture], list(owned))
    assert frames[0, 0, :, 0].tolist() == pytest.approx([0.2, 0.8, 0.5, 0.8])


def test_a_head_that_turns_takes_nothing_of_a_neighbour_along(tiny_model, portrait):
    """Mattes take two people who nearly touch for one."""
    head = interpolate(portrait[None], (192, 192), mode="area")[0, :, :, 56:136]
    close = torch.cat((head, head.flip(-1)), -1)
    faces = MeshProvider()(close)
    left, right = faces_from_left(close, 2, lambda image: faces)
    speech = tiny_model.encode_speech(tone(0.04), 25.0)
    still = tiny_model.make_motion(speech)
    turned = replace(still, rotation=torch.tensor([[0.05, 0.3, 0.2]]))
    for choice, other in ((left, right), (right, left)):
        identity = tiny_model.encode_identity([close], choice, faces=[faces])
        neighbour = choose_face(faces, other, (192, 160)).landmarks[:, :2]
        (frame,) = torch.cat(list(talk(tiny_model, identity, speech, motion=turned, settings=SETTINGS)))
        change = (frame - close).abs().amax(0)
        own = choose_face(faces, choice, (192, 160)).landmarks[:, :2]
        at, at_own = (points[:468].round().long().clamp_min(0) for points in (neighbour, own))
        assert change[at_own[:, 1], at_own[:, 0]].mean() > 0.05
        assert change[at[:, 1], at[:, 0]].mean() < 0.005


def test_everybody_has_the_look_of_the_first(tiny_model, couple, found):
    left, right = faces_from_left(couple, 2, found)
    speakers = [Speaker(tone(0.1), left, "black and white"), Speaker(tone(0.1), right)]
    (frames, *_) = list(converse(tiny_model, couple, speakers, SETTINGS, provider=found))
    assert (frames.amax(1) - frames.amin(1)).mean() < 0.02


def test_what_cannot_work_is_refused(tiny_model, couple, found):
    face = FaceChoice(index=0)
    with pytest.raises(FaceError, match="Speakers 1 and 2 have the same face"):
        converse(tiny_model, couple, [Speaker(tone(0.1), face)] * 2, SETTINGS, provider=found)
    with pytest.raises(FaceError, match="shows 2 faces for 3 speeches"):
        faces_from_left(couple, 3, found)
    with pytest.raises(SettingsError, match="at least one speaker"):
        converse(tiny_model, couple, [], SETTINGS)
    with pytest.raises(SettingsError, match="must be a Speaker"):
        converse(tiny_model, couple, [tone(0.1)], SETTINGS)
    with pytest.raises(FaceError, match="no face 7"):
        converse(tiny_model, couple, [Speaker(tone(0.1), FaceChoice(index=7))], SETTINGS, provider=found)
