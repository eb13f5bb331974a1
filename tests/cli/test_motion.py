"""Motion from a driving video, and what happens where it is shorter than the speech."""

import wave

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.media.image import read_image
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video
from portraittalk.motion.track import MotionTrack

FRAMES = 6


@pytest.fixture
def run(run_command, monkeypatch, tmp_path):
    """As ``run_command``, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return run_command


@pytest.fixture(scope="module")
def video(tmp_path_factory, repository):
    """The demo portrait drifting to the right by 8 pixels a frame, at 12 frames per second."""
    picture = read_image(repository / "portraittalk" / "assets" / "demo" / "portrait.jpg", 384).pixels
    path = tmp_path_factory.mktemp("driving") / "driving.mp4"
    write_video([picture.roll(8 * number, 2)[None] for number in range(FRAMES)], path, 12.0)
    return path


def test_a_face_is_followed(run, video, tmp_path):
    code, printed, _ = run("motion", video, "--out", "motion.json", "--smooth", 0)
    assert code == 0 and f"{FRAMES} frames, 0.50 s at 12 fps" in printed
    track = MotionTrack.load(tmp_path / "motion.json")
    assert track.translation[-1, 0] > 0.3 and (track.translation[:, 0].diff() > 0).all()
    code, _, _ = run("motion", video, "--out", "still.json", "--head-motion", 0, "--fps", 25)
    still = MotionTrack.load(tmp_path / "still.json")
    assert code == 0 and still.fps == 25 and not still.translation.any()


def test_mistakes_are_named_and_nothing_is_left(run, video, tmp_path):
    for arguments, words in (
        (("motion", "gone.mp4", "--out", "m.json"), "gone.mp4 does not exist"),
        (("motion", video, "--out", video), "input"),
        (("motion", video, "--out", "m.json", "--smooth", -1), "smoothing"),
        (("motion", video, "--out", "m.json", "--head-motion", 99), "head motion"),
    ):
        code, _, told = run(*arguments)
        assert code == 2 and words in " ".join(told.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["hold", "loop", "fade"])
def test_a_short_motion_is_made_as_long_as_the_speech(run, repository, tmp_path, ending):
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 3200)
    expression = torch.zeros(5, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.5
    MotionTrack.of_expression(expression, 25.0).save(tmp_path / "short.json")
    face = repository / "portraittalk" / "assets" / "demo" / "portrait.jpg"
    usual = ("animate", face, "--audio", "speech.wav", "--max-size", 192, "--motion-in", "short.json")
    code, _, told = run(*usual, "--out", "refused.mp4")
    assert code == 2 and "at least as long" in " ".join(told.split()) and not (tmp_path / "refused.mp4").exists()
    code, _, _ = run(*usual, "--out", "out.mp4", "--motion-end", ending, "--motion-out", "used.json")
    assert code == 0 and sum(1 for _ in read_video(tmp_path / "out.mp4")) == 10
    jaw = MotionTrack.load(tmp_path / "used.json").expression[:, ARKIT_INDEX["jawOpen"]]
    assert len(jaw) == 10 and (jaw[-1] < 0.45) == (ending == "fade")
