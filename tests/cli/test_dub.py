"""``portraittalk dub``: a film speaks another sound."""

import numpy as np
import torch
from PIL import Image

from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video


def test_a_film_speaks_another_sound(run, face, speech, repository, tmp_path):
    picture = torch.from_numpy(np.array(Image.open(face).convert("RGB").resize((256, 256)))).permute(2, 0, 1)
    film, out = tmp_path / "film.mp4", tmp_path / "out.mp4"
    write_video([(picture / 255).expand(12, -1, -1, -1)], film, 25)
    demo = repository / "portraittalk/assets/demo/speech.wav"
    code, printed, _ = run("dub", film, "--audio", demo, "--out", out)
    assert code == 0 and "12 frames" in printed
    video = read_video(out)
    change = (torch.stack(list(video)) - torch.stack(list(read_video(film)))).abs().amax((0, 1))
    assert video.has_audio and change[130:].max() > 0.1 and change[:80].max() < 0.1
    for given, words in (
        (("--model", "tiny"), "cannot dub a film"),
        (("--audio", tmp_path / "none.wav"), "none.wav does not exist"),
        (("--out", film), "film.mp4"),
    ):
        code, _, told = run("dub", film, "--audio", speech, "--out", tmp_path / "b.mp4", *given)
        assert code == 2 and words in " ".join(told.split()) and not (tmp_path / "b.mp4").exists()
