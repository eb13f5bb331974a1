"""``portraittalk converse``: several people of one picture."""

import torch
from PIL import Image

from portraittalk.media.reader import read_video


def test_two_people_of_one_picture_talk(run, face, speech, tmp_path):
    picture = Image.open(face)
    both = Image.new("RGB", (336, 192), "white")
    both.paste(picture.resize((144, 144)), (0, 24))
    both.paste(picture.resize((192, 192)), (144, 0))
    both.save(tmp_path / "both.png")
    usual = ("converse", tmp_path / "both.png", "--audio", speech, "--model", "tiny", "--preview", 0.2)
    out = tmp_path / "a.mp4"
    code, printed, _ = run(*usual, "--audio", speech, "--prompt", "a smile", "--prompt", "", "--out", out)
    assert code == 0 and "5 frames" in printed
    video = read_video(out)
    frames = torch.stack(list(video))
    moved = (frames[1:] - frames[0]).abs().amax((0, 1, 2))
    assert video.has_audio and moved[:130].max() > 0.1 and moved[160:].max() > 0.1
    for wrong, words in (
        ((), "shows 2 faces for 3 speeches"),
        (("--face-index", 0, "--face-index", 0, "--face-index", 1), "have the same face"),
        (("--face-index", 0), "--face-index is given 1 times for 3 speeches"),
        (("--prompt", "a smile"), "--prompt is given 1 times for 3 speeches"),
    ):
        code, _, told = run(*usual, "--audio", speech, "--audio", speech, "--out", tmp_path / "b.mp4", *wrong)
        assert code == 2 and words in " ".join(told.split()) and not (tmp_path / "b.mp4").exists()
