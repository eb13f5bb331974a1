"""Several people of one picture talk, each with a speech of their own."""

import pytest
import torch


@pytest.fixture
def couple(portrait):
    small = torch.nn.functional.interpolate(portrait.movedim(-1, 1), scale_factor=0.75).movedim(1, -1)
    image = torch.full((1, 256, 448, 3), 0.5)
    image[:, 32:224, :192], image[:, :, 192:] = small, portrait
    return image


@pytest.fixture
def converse(run, model, couple, speech):
    """converse(faces, **changed): runs the node on two people who both say the speech."""
    settings = dict(timing="together", prompts="a smile", seed=1, fps=25.0, head_motion=1.0, liveliness=1.0)
    given = dict(model=model, image=couple, audios={"audio0": speech, "audio1": speech}) | settings
    return lambda faces, **changed: run("PortraitTalkConversation", **(given | changed), faces=faces)


def test_both_people_move_and_both_voices_are_heard(converse, couple, speech):
    parts = converse({"faces": "left to right"})[0].get_components()
    assert parts.images.shape == (8, *couple.shape[1:]) and parts.frame_rate == 25
    moved = (parts.images[1:] - parts.images[0]).abs().amax((0, 1, 3))
    assert moved[:170].max() > 0.1 and moved[210:].max() > 0.1
    seconds = parts.audio["waveform"].shape[-1] / parts.audio["sample_rate"]
    assert seconds == pytest.approx(0.32, abs=0.06)


def test_one_speaks_after_the_other(converse, speech):
    parts = converse({"faces": "left to right"}, timing="one after the other")[0].get_components()
    assert len(parts.images) == 24  # of 0.32, 0.3 and 0.32 s at 25 frames per second, rounded half up
    wave, rate = parts.audio["waveform"][0].mean(0), parts.audio["sample_rate"]
    first, pause, second = (wave[round(at * rate) : round((at + 0.2) * rate)].abs().max() for at in (0.1, 0.37, 0.7))
    assert min(first, second) > 10 * pause


def test_faces_and_prompts_that_do_not_fit_are_refused(converse, library, speech):
    errors = library("errors")
    three = {f"audio{number}": speech for number in range(3)}
    for faces, changed, error, words in (
        ({"faces": "left to right"}, {"audios": three}, errors.FaceError, "shows 2 faces for 3 speeches"),
        ({"faces": "numbers", "numbers": "1, 1"}, {}, errors.FaceError, "have the same face"),
        ({"faces": "numbers", "numbers": "1; 0"}, {}, errors.SettingsError, "must hold 2 numbers"),
        ({"faces": "numbers", "numbers": "0, 5"}, {}, errors.FaceError, "no face 5"),
        ({"faces": "largest first"}, {"prompts": "a smile\n\nsad"}, errors.SettingsError, "3 lines for 2 speeches"),
    ):
        with pytest.raises(error, match=words):
            converse(faces, **changed)
