"""Motion capture: both kinds of files, their time, and what is refused."""

import numpy as np
import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.errors import MotionError
from portraittalk.training.data.mocap import read_mocap

HEAD = [f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")]
COLUMNS = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT_NAMES), *HEAD]
JAW = ARKIT_INDEX["jawOpen"]


def jaw_at(seconds):
    return 0.4 + 0.3 * np.sin(2 * np.pi * 1.5 * seconds)


def live_link(path, times, rate=60, columns=COLUMNS, jaw=jaw_at, start=0.0):
    """Write a file as Live Link Face does, with a jaw that opens three times in two seconds."""
    lines = [",".join(columns)]
    for seconds in times:
        frames = (seconds + start) * rate
        clock = int(frames // rate)
        code = f"{clock // 3600 % 24:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}:{frames % rate:06.3f}"
        values = ["0.0"] * (len(columns) - 2)
        values[columns.index("JawOpen") - 2] = str(jaw(seconds))
        lines.append(",".join([code, "61", *values]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def packed(path, **changes):
    """Write two seconds of a jaw at 30 fps as an .npz file."""
    seconds = np.arange(60) / 30
    arrays = {
        "arkit": np.stack((jaw_at(seconds), 0 * seconds), 1),
        "arkit_names": ["jawOpen", "mouthDimpleLeft"],
        "fps": 30,
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def expected(count):
    """The jaw at the middle of each frame; a captured value holds for the frame after its time."""
    return jaw_at((np.arange(count) + 0.5) / 25 - 1 / 120)


@pytest.mark.parametrize("start", [0.0, 3599.5, 24 * 3600 - 1.0])
def test_live_link_face_keeps_its_time(tmp_path, start):
    mocap = read_mocap(live_link(tmp_path / "take.csv", np.arange(120) / 60, start=start))
    assert mocap.expression.shape == (50, 52) and mocap.given.nonzero()[:, 0].tolist() == [JAW]
    assert np.abs(mocap.expression[1:-1, JAW].numpy() - expected(50)[1:-1]).max() < 0.01
    assert not mocap.expression[:, ARKIT_INDEX["mouthPucker"]].any()


def test_rows_that_were_dropped_are_interpolated(tmp_path):
    times = np.delete(np.arange(120) / 60, [*range(50, 54), 90])
    mocap = read_mocap(live_link(tmp_path / "take.csv", times))
    assert np.abs(mocap.expression[1:-1, JAW].numpy() - expected(50)[1:-1]).max() < 0.04


def test_rows_without_a_face_are_left_out(tmp_path):
    path = live_link(tmp_path / "take.csv", np.arange(120) / 60)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[40] = lines[40].split(",")[0] + ",0"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert np.abs(read_mocap(path).expression[1:-1, JAW].numpy() - expected(50)[1:-1]).max() < 0.01


def test_an_npz_is_resampled_and_says_what_it_has(tmp_path):
    mocap = read_mocap(packed(tmp_path / "take.npz"))
    assert mocap.expression.shape == (50, 52)
    assert mocap.given.nonzero()[:, 0].tolist() == [JAW]  # the rig has no dimples
    wanted = torch.from_numpy(jaw_at((np.arange(50) + 0.5) / 25 - 1 / 60))
    assert (mocap.expression[1:-1, JAW] - wanted[1:-1]).abs().max() < 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": None}, "no array"),
        ({"fps": 0}, "fps must be between"),
        ({"arkit_names": ["jawOpen"]}, "a column for each"),
        ({"arkit_names": ["jawOpen", "jaw"]}, "'jaw' is none"),
        ({"arkit_names": ["jawOpen", "jawOpen"]}, "once"),
        ({"arkit": np.full((60, 2), np.nan)}, r"not in 0\.\.1"),
        ({"arkit": np.full((60, 2), 7.0)}, r"not in 0\.\.1"),
        ({"arkit": np.zeros((1, 2))}, "at least two"),
        ({"arkit": np.full((60, 2), "x")}, "plain arrays"),
        ({"arkit": np.full((60, 2), None)}, "plain arrays"),
    ],
)
def test_a_malformed_npz_is_refused_with_a_sentence(tmp_path, changes, message):
    with pytest.raises(MotionError, match=message):
        read_mocap(packed(tmp_path / "take.npz", **changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "must be Timecode"),
        (lambda text: text.replace("Timecode", "Time"), "must be Timecode"),
        (lambda text: text.replace("JawOpen", "JawWide"), "lacks 1 of the 52 .* jawOpen"),
        (lambda text: text.splitlines()[0], "at least two"),
        (lambda text: text.replace("0.4", "wide", 1), "row 2: a coefficient"),
        (lambda text: text.replace("00:00:00:", "00:00:", 1), "row 2: the timecode must be"),
        (lambda text: text.replace(":59.000,", ":58.000,", 1), "row 61: the timecode does not advance"),
        (lambda text: text.replace(":59.000,", ":159.00,", 1), "counts to frame 159"),
        (lambda text: "\n".join(text.splitlines()[:20] + text.splitlines()[80:]), "no face for 1.0 s"),
    ],
)
def test_a_malformed_csv_is_refused_with_a_sentence(tmp_path, change, message):
    path = live_link(tmp_path / "take.csv", np.arange(120) / 60)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(MotionError, match=message):
        read_mocap(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "take.npz").write_bytes(b"PK\x03\x04 not a zip file")
    (tmp_path / "take.fbx").touch()
    with pytest.raises(MotionError, match="plain arrays"):
        read_mocap(tmp_path / "take.npz")
    with pytest.raises(MotionError, match=r"\.csv of Live Link Face or an \.npz"):
        read_mocap(tmp_path / "take.fbx")
    with pytest.raises(MotionError, match="cannot be read: No such file"):
        read_mocap(tmp_path / "none.csv")
