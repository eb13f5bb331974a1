"""Track files: the face in every frame of a video, in step with its sound."""

import numpy as np
import pytest
import torch
from PIL import Image

from portraittalk.errors import MediaError, OutputError
from portraittalk.face.mesh import MeshProvider
from portraittalk.media.reader import read_video
from portraittalk.tensor_files import write_tensors
from portraittalk.training.data.tracks import read_spoken_track, read_track, track, write_tracks


@pytest.fixture(scope="module")
def provider():
    return MeshProvider()


def test_a_video_is_tracked_frame_by_frame_and_once(film, provider, tmp_path):
    write_tracks([film], tmp_path, provider)
    (path,) = tmp_path.iterdir()
    assert path.name == f"{film.stem}.safetensors"
    seen = read_spoken_track(path)
    assert seen is not None
    frames = list(read_video(film, 25))
    assert seen[0].shape == (len(frames), 478, 3) and seen[1].shape == (len(frames), 52)
    (face,) = provider(frames[7])
    assert torch.equal(seen[0][7], face.landmarks) and torch.equal(seen[1][7], face.blendshapes)
    written = path.stat().st_mtime_ns
    write_tracks([film], tmp_path, provider)
    assert path.stat().st_mtime_ns == written


def test_frames_without_a_face_are_known(film, provider, tmp_path):
    """They are left out of what says how a face moves; nothing is in step with sound any more."""
    calls, faces = iter(range(1000)), provider(next(iter(read_video(film, 25))))

    def blinded(frame):
        return [] if next(calls) == 3 else faces

    write_tracks([film], tmp_path, blinded)
    (path,) = tmp_path.iterdir()
    count = len(list(read_video(film, 25)))
    assert len(read_track(path)[0]) == count - 1
    assert read_spoken_track(path) is None


def test_a_picture_is_one_frame_and_what_cannot_be_read_is_told(provider, tmp_path, caplog):
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert not track(tmp_path / "grey.png", provider)["found"].any()
    write_tracks([broken, tmp_path / "grey.png"], tmp_path / "out", provider)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["grey.safetensors"]
    assert "broken.png" in caplog.text


def test_sources_of_one_name_are_refused_before_any_is_tracked(tmp_path):
    with pytest.raises(OutputError, match=r"would both be written as a\.safetensors"):
        write_tracks([tmp_path / "a.mp4", tmp_path / "a.jpg"], tmp_path, lambda frame: pytest.fail("tracked"))


def test_a_file_that_is_no_track_is_named(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"landmarks": torch.zeros(1, 478, 3)})
    with pytest.raises(MediaError, match=r"a\.safetensors is not a track file"):
        read_track(tmp_path / "a.safetensors")
