import json
import tracemalloc
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
    shapes |= {"blink": (7,), "rest": (7,), "tongue": (7,), "relaxed": (7,)}
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
    assert not {"rest", "tongue", "relaxed"} & frame.keys()
    assert len(lines) == 6


def test_a_long_track_is_written_in_parts(tmp_path):
    track = MotionTrack.of_expression(torch.rand(5000, 52), 25.0)
    tracemalloc.start()
    try:
        track.save(tmp_path / "long.json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6
    assert json.loads((tmp_path / "long.json").read_text()) == track.to_dict()


@pytest.mark.parametrize("key", ["rest", "tongue", "relaxed"])
def test_a_file_of_before_there_was_a_number_loads(track, key):
    """Without rest, somebody speaks all the time; without tongue, it lies behind the lower teeth; else, smiles stay."""
    data = track.to_dict()
    assert data["version"] == 1
    for frame in data["frames"]:
        del frame[key]
    loaded = MotionTrack.from_dict(data)
    assert not getattr(loaded, key).any() and same(replace(loaded, **{key: getattr(track, key)}), track, 1e-5)


def test_the_tongue_is_written_where_it_is_raised(track):
    track = replace(track, tongue=torch.tensor([0, 0, 0.5, 1, 0.5, 0, 0]))
    frames = track.to_dict()["frames"]
    assert [frame.get("tongue") for frame in frames] == [None, None, 0.5, 1.0, 0.5, None, None]
    frames[3]["tongue"] = "up"
    with pytest.raises(MotionError, match="frame 3: tongue must be a number"):
        MotionTrack.from_dict({**track.to_dict(), "frames": frames})


def test_slices_join_to_the_whole(track):
    assert same(concatenate([track[:3], track[3:]]), track)
    assert len(track[2:5]) == 3


def test_tracks_of_different_rates_are_not_joined(track):
    with pytest.raises(MotionError, match="25 and 30 fps"):
        concatenate([track, replace(track, fps=30.0)])


def test_values_that_are_not_numbers_are_not_saved(track, tmp_path):
    track.gaze[2, 0] = torch.nan
    with pytest.raises(MotionError, match="gaze holds NaN, infinity"):
        track.save(tmp_path / "motion.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fps": 1e9}, "fps must be a number between 0.1 and 1000, not 1000000000.0"),
        ({"fps": True}, "fps must be a number"),
        ({"prompt": None}, "prompt must be text, not None"),
        ({"rotation": torch.full((7, 3), 101.0)}, "rotation holds NaN, infinity or a value beyond 100"),
        ({"blink": torch.zeros(6)}, r"blink must be a floating-point tensor of shape \(7,\), not \(6,\)"),
        ({"gaze": torch.zeros(7, 2, dtype=torch.long)}, r"gaze must be a floating-point tensor .* of torch\.int64"),
        ({"rest": [0.0] * 7}, "rest must be a tensor, not an object of type list"),
        ({"tongue": torch.zeros(7, 1)}, r"tongue must be a floating-point tensor of shape \(7,\), not \(7, 1\)"),
        ({"expression": torch.zeros(0, 52)}, "between 1 and 500000 frames, not 0"),
        ({"expression": None}, "between 1 and 500000 frames, not 0"),
    ],
)
def test_what_cannot_be_loaded_is_not_saved(track, tmp_path, change, sentence):
    with pytest.raises(MotionError, match=sentence):
        replace(track, **change).save(tmp_path / "motion.json")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_said(track, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        track.save(tmp_path / "missing" / "motion.json")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "else"}, "not a motion track"),
        ({"version": 2}, "version 2"),
        ({"version": "2\n3"}, r"version '2\\n3'"),
        ({"fps": 0}, "fps must be a number between 0.1 and 1000, not 0"),
        ({"fps": 1e-6}, "not 1e-06"),
        ({"fps": 1e9}, "not 1000000000.0"),
        ({"fps": 10**400}, "not a number of more than 60 digits"),
        ({"fps": "25"}, "not '25'"),
        ({"fps": None}, "not None"),
        ({"prompt": 3}, "prompt must be text, not 3"),
        ({"frames": []}, "no frames"),
        ({"frames": {"0": {}}}, "no frames"),
        ({"frames": [{"expression": {"jawOpenn": 1}}]}, "frame 0: 'jawOpenn'"),
        ({"frames": [{}, {"expression": {"jawOpen": float("nan")}}]}, "frame 1: jawOpen must be a number"),
        ({"frames": [{"expression": {"jawOpen": 1e30}}]}, "jawOpen must be a number between -100 and 100, not 1e.30"),
        ({"frames": [{"translation": [0, float("inf"), 0]}]}, "translation must be a number"),
        ({"frames": [{"gaze": [0, 10**400]}]}, "gaze must be a number"),
        ({"frames": [{"rotation": [0, 0]}]}, "rotation must be a list of 3 numbers"),
        ({"frames": [{"blink": True}]}, "blink must be a number .*, not True"),
        ({"frames": [{"blinks": 1}]}, "'blinks'"),
        ({"frames": [{"\n" * 9999: 1}]}, "unknown key"),
        ({"frames": [[1, 2]]}, "frame 0 is not an object"),
    ],
)
def test_a_wrong_file_is_refused_with_one_sentence(track, tmp_path, change, sentence):
    path = tmp_path / "motion.json"
    path.write_text(json.dumps({**track.to_dict(), **change}))
    with pytest.raises(MotionError, match=sentence) as caught:
        MotionTrack.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_files_of_windows_editors_load(track, tmp_path, encoding):
    track = replace(track, prompt="ein Lächeln")
    text = json.dumps(track.to_dict(), ensure_ascii=False, indent=2).replace("\n", "\r\n")
    marked = encoding in ("utf-16-le", "utf-16-be")  # Python writes the mark with the other names
    (tmp_path / "motion.json").write_bytes(("\ufeff" * marked + text).encode(encoding))
    loaded = MotionTrack.load(tmp_path / "motion.json")
    assert same(loaded, track, 1e-5) and loaded.prompt == "ein Lächeln"


def test_millions_of_frames_are_refused_before_they_are_parsed(tmp_path):
    head = '{"format": "portraittalk.motion", "version": 1, "fps": 25, "frames": ['
    (tmp_path / "motion.json").write_text(head + "{}," * 1_000_001 + "{}]}")
    tracemalloc.start()
    with pytest.raises(MotionError, match="more than 500000 frames"):
        MotionTrack.load(tmp_path / "motion.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * (tmp_path / "motion.json").stat().st_size
    with pytest.raises(MotionError, match="has 500001 frames"):
        MotionTrack.from_dict({**json.loads(head + "]}"), "frames": [{}] * 500_001})


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "motion.json").write_bytes(b"\x89PNG\r\n\xff")
    with pytest.raises(MotionError, match="not valid JSON"):
        MotionTrack.load(tmp_path / "motion.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(MotionError, match="nested too deeply"):
        MotionTrack.load(tmp_path / "deep.json")
    with pytest.raises(MotionError, match="cannot be read"):
        MotionTrack.load(tmp_path / "nowhere.json")
    with pytest.raises(MotionError, match="must be a path, not None"):
        MotionTrack.load(None)
