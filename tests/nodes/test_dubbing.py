"""The face of a VIDEO speaks another sound."""

import pytest
import torch


@pytest.fixture
def film(portrait):
    """Five frames in memory, in which the portrait moves."""
    from comfy_api.latest import InputImpl, Types

    frames = torch.cat([portrait.roll(number, 2) for number in range(5)])
    return InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, audio=None, frame_rate=25))


@pytest.fixture
def dub(run, model, speech):
    given = dict(model=model, audio=speech, seed=1, expression_strength=1.0)
    return lambda video, **changed: run("PortraitTalkDub", **(given | changed), video=video)


def test_the_mouth_moves_and_the_rest_stays(dub, film):
    parts = dub(film)[0].get_components()
    shown = film.get_components().images
    assert parts.images.shape == shown.shape and parts.frame_rate == 25 and parts.audio is not None
    change = (parts.images - shown).abs().amax((0, 3))
    assert change.max() > 0.1 and change[:60].mean() < 0.02


def test_a_file_gives_as_many_frames(dub, film, tmp_path):
    from comfy_api.latest import InputImpl

    film.save_to(str(tmp_path / "film.mp4"))
    video = dub(InputImpl.VideoFromFile(str(tmp_path / "film.mp4")))[0]
    assert len(video.get_components().images) == 5


def test_a_video_without_a_face_is_refused(dub, library):
    from comfy_api.latest import InputImpl, Types

    grey = Types.VideoComponents(images=torch.full((2, 128, 128, 3), 0.5), audio=None, frame_rate=25)
    with pytest.raises(library("errors").FaceError, match="No face was found in the film"):
        dub(InputImpl.VideoFromComponents(grey))
