"""Small pictures of videos."""

import pytest
import torch

from portraittalk.errors import MediaError
from portraittalk.media.thumbnails import thumbnails
from portraittalk.media.video import write_video


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "webp"])
@pytest.mark.parametrize("count", [1, 40])
def test_pictures_are_spread_over_the_video(tmp_path, kind, count):
    path = tmp_path / f"a.{kind}"
    write_video([torch.linspace(0, 1, count)[:, None, None, None].expand(count, 3, 48, 64)], path, 25.0)
    pictures = thumbnails(path, 4, 32)
    levels = [picture.getpixel((5, 5))[1] / 255 for picture in pictures]
    assert [picture.size for picture in pictures] == [(32, 24)] * 4
    assert levels == pytest.approx([0.125, 0.375, 0.625, 0.875] if count > 1 else [0] * 4, abs=0.05)


def test_what_is_no_video_is_refused(tmp_path):
    for name, content in (("a.mp4", b"text"), ("a.gif", b"text"), ("b.webp", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MediaError, match=name):
            thumbnails(tmp_path / name, 2, 32)
    with pytest.raises(MediaError):
        thumbnails(tmp_path / "missing.mp4", 2, 32)
