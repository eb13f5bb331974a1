import json
from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.errors import MotionError, OutputError
from portraittalk.motion.track import TENSORS, MotionTrack, concatenate


@pytest.fixture
def track():
    generator = torch.Generator().manual_seed(0)
    shapes = {"expression": (7, 52), "rotation": (7, 3), "translation": (7, 3), "gaze": (7, 2)}
    shapes |= {"blink": (7,), "rest": (7,)}
    return MotionTrack(25.0, **{name: torch.rand(shape, generator=generator) for name, shape in shapes.items()})


def same(first: MotionTrack, second: MotionTrack, tolerance: float = 0.0) -> bool:
    return first.fps == second.fps and all(
        torch.allclose(getattr(first, name), getattr(second, name), rtol=0, atol=tolerance) for name in TENSORS
    )


def test_a_saved_track_loads_again(track, tmp_path):
    track.save(tmp_path / "motion.json")
    assert same(MotionTrack.load(tmp_path / "motion.json"), track, 1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["motion.json"]


def test_the_file_reads_frame_by_frame(tmp_path):
    expression = torch.zeros(3, 52)
    expression[1, ARKIT_INDEX["jawOpen"]] = 0.25
    MotionTrack.of_expression(expression, 30.0).save(tmp_path / "motion.json")
    lines = (tmp_path / "motion.json").read_text().splitlines()
    frame = json.loads(lines[3].rstrip(","))
    assert frame["expression"] == {"jawOpen": 0.25}
    assert "rest" not in frame
    assert len(lines) == 6


def test_a_file_without_rest_speaks_all_the_time(track):
    data = track.to_dict()
    for frame in data["frames"]:
        del frame["rest"]
    assert not MotionTrack.from_dict(data).rest.any()


def test_slices_join_to_the_whole(track):
    assert same(concatenate([track[:3], track[3:]]), track)
    assert len(track[2:5]) == 3


def test_tracks_of_different_rates_are_not_joined(track):
    with pytest.raises(MotionError, match="25 and 30 fps"):
        concatenate([track, replace(track, fps=30.0)])


def test_values_that_are_not_numbers_are_not_saved(track, tmp_path):
    track.gaze[2, 0] = torch.nan
    with pytest.raises(MotionError, match="NaN or infinity"):
        track.save(tmp_path / "motion.json")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_said(track, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        track.save(tmp_path / "missing" / "motion.json")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "else"}, "not a motion track"),
        ({"version": 2}, "version 2"),
        ({"fps": 0}, "above 0"),
        ({"fps": "25"}, "finite number"),
        ({"frames": []}, "no frames"),
        ({"frames": [{"expression": {"jawOpenn": 1}}]}, "frame 0: 'jawOpenn'"),
        ({"frames": [{}, {"expression": {"jawOpen": float("nan")}}]}, "frame 1: jawOpen is nan"),
        ({"frames": [{"rotation": [0, 0]}]}, "rotation must be a list of 3 numbers"),
        ({"frames": [{"blink": True}]}, "blink is True"),
        ({"frames": [{"blinks": 1}]}, "'blinks'"),
        ({"frames": [[1, 2]]}, "frame 0 is not an object"),
    ],
)
def test_a_wrong_file_is_refused_with_one_sentence(track, tmp_path, change, sentence):
    path = tmp_path / "motion.json"
    path.write_text(json.dumps({**track.to_dict(), **change}))
    with pytest.raises(MotionError, match=sentence) as caught:
        MotionTrack.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "motion.json").write_bytes(b"\x89PNG\r\n\xff")
    with pytest.raises(MotionError, match="not valid JSON"):
        MotionTrack.load(tmp_path / "motion.json")
    with pytest.raises(MotionError, match="cannot be read"):
        MotionTrack.load(tmp_path / "nowhere.json")
