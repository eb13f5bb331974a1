"""From a folder of videos to clips: what is kept, what is dropped and why, and that a run can be taken up again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import portraittalk
from portraittalk.config import SMALL
from portraittalk.face.manual import face_in_box
from portraittalk.media.audio import read_audio
from portraittalk.media.image import read_image
from portraittalk.media.video import write_video
from portraittalk.models.face_basis import load_basis
from portraittalk.training.data.clean import CleanRules, describe, fault, is_cut, stretches
from portraittalk.training.data.clips import Clip
from portraittalk.training.data.prepare import (
    PrepareSettings,
    _name,
    encoded,
    prepare_source,
    summarised,
    write_clip,
)
from portraittalk.types import Face

ASSETS = Path(portraittalk.__file__).parent / "assets" / "demo"
MEAN = load_basis().mean
RULES = CleanRules(seconds=(0.2, 0.8))
BOX = (230.0, 170.0, 530.0, 560.0)


def face(box=BOX, shapes=None):
    return Face(face_in_box(box).landmarks, torch.zeros(52) if shapes is None else shapes)


def test_frames_that_cannot_be_used_say_why():
    whole = (768, 768)
    assert fault([face()], whole, MEAN, RULES) is None
    assert fault([], whole, MEAN, RULES) == "no face"
    assert fault([face(), face((20.0, 200.0, 220.0, 460.0))], whole, MEAN, RULES) == "several faces"
    assert fault([face(), face((20.0, 200.0, 80.0, 280.0))], whole, MEAN, RULES) is None
    assert fault([face((20.0, 200.0, 60.0, 250.0))], whole, MEAN, RULES) == "face too small"
    assert fault([face()], (400, 768), MEAN, RULES) == "face cut off"
    turn = torch.tensor([[0.4, 0, 0.9], [0, 1, 0], [-0.9, 0, 0.4]])
    turned = Face(face().landmarks @ turn + torch.tensor([300.0, 0, 0]))
    assert fault([turned], (768, 2000), MEAN, RULES) == "head turned away"


def test_a_jump_of_the_face_is_a_cut():
    here = face().landmarks
    assert not is_cut(here, here + 10, RULES)
    assert is_cut(here, here + torch.tensor([120.0, 0, 0]), RULES)


def test_stretches_end_at_faults_and_cuts_and_long_ones_are_split():
    faults = [None] * 20 + ["no face"] * 5 + [None] * 2 + ["several faces"] + [None] * 12
    cuts = [False] * len(faults)
    cuts[6] = True
    clips, dropped = stretches(faults, cuts, 10.0, RULES)
    assert [(c.start, c.stop) for c in clips] == [(0, 6), (6, 13), (13, 20), (25, 27), (28, 34), (34, 40)]
    assert [(d.reason, d.start, d.seconds) for d in dropped] == [("no face", 2.0, 0.5), ("several faces", 2.7, 0.1)]
    short, dropped = stretches([None, "no face"], [False, False], 10.0, RULES)
    assert short == [] and [d.reason for d in dropped] == ["too short", "no face"]


def test_captions_name_what_is_shown():
    from portraittalk.arkit import ARKIT_INDEX

    shapes = torch.zeros(10, 52)
    assert describe(shapes) == "a person"
    shapes[::2, ARKIT_INDEX["jawOpen"]] = 0.3
    shapes[:, [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]] = 0.6
    assert describe(shapes) == "a person speaking, smiling"


def test_frames_come_back_from_a_clip_file(tmp_path):
    image = read_image(ASSETS / "portrait.jpg").pixels[:, 100:356, 200:456]
    frames = torch.stack([(image * s * 255).byte() for s in (1.0, 0.8, 0.6)])
    clip = {"frames": frames, "landmarks": torch.rand(3, 478, 3), "blendshapes": torch.rand(3, 52)}
    write_clip(tmp_path / "a.safetensors", encoded(clip))
    read = Clip(tmp_path / "a.safetensors").frames(1, 3)
    assert read.shape == (2, 3, 256, 256)
    assert (read - frames[1:] / 255).abs().mean() < 0.01
    assert (tmp_path / "a.safetensors").stat().st_size < frames.numel() / 4


@pytest.fixture
def video(tmp_path) -> Path:
    """1.6 s: the portrait, half its size, speaks, is gone from frame 10 to 14, and is back."""
    image = read_image(ASSETS / "portrait.jpg", max_side=384).pixels
    sound = read_audio(ASSETS / "speech.wav", 0.0, 1.6)
    frames = (image[None] * (0.2 if 10 <= k < 15 else 1.0) for k in range(40))
    folder = tmp_path / "videos" / "anna"
    folder.mkdir(parents=True)
    write_video(frames, folder / "one.mp4", 25.0, sound)
    (folder / "one.txt").write_text("a calm reader\n", encoding="utf-8")
    return folder / "one.mp4"


def seen(image):
    """A provider that finds the face of the portrait at half its size wherever it is bright."""
    return [face(tuple(side / 2 for side in BOX))] if image.mean() > 0.25 else []


def test_a_video_becomes_clips_with_labels_and_a_report(video, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    name = _name(video, tmp_path / "videos")
    report = prepare_source(video, name, out, seen, PrepareSettings(SMALL, RULES))
    assert name == "anna_one" and report.clips == ["anna_one_000", "anna_one_001", "anna_one_002"]
    assert [(d.reason, round(d.start, 2), round(d.seconds, 2)) for d in report.dropped] == [("no face", 0.4, 0.2)]
    lengths = [len(Clip(out / f"{clip}.safetensors")) for clip in report.clips]
    assert lengths == [10, 12, 13] and report.seconds == pytest.approx(35 / 25)
    with safe_open(out / "anna_one_001.safetensors", framework="pt") as file:
        assert file.metadata() == {"source": "one.mp4", "speaker": "anna", "caption": "a calm reader", "fps": "25"}
        assert file.get_tensor("speech").shape == (12, SMALL.speech.steps, SMALL.speech.dim)
        assert file.get_tensor("rotation").abs().max() < 1e-3
    assert summarised([report])["dropped_seconds"] == {"no face": pytest.approx(0.2)}


def test_what_cannot_be_read_is_reported_and_nothing_is_written(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    report = prepare_source(broken, "broken", tmp_path, seen, PrepareSettings(SMALL))
    assert report.clips == [] and "broken.mp4" in report.dropped[0].reason
    assert list(tmp_path.glob("*.safetensors")) == []


def test_the_command_prepares_in_parallel_and_takes_up_again(video, tmp_path, monkeypatch):
    from typer.testing import CliRunner
    from warm_processes import WARM

    from portraittalk.cli import app

    monkeypatch.setattr("portraittalk.training.data.prepare.get_context", lambda method: WARM)
    (video.parent / "two.jpg").write_bytes((ASSETS / "portrait.jpg").read_bytes())
    arguments = ["prepare", str(tmp_path / "videos"), "--out", str(tmp_path / "set"), "--workers", "2"]
    arguments += ["--shortest", "0.2", "--longest", "0.8"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "set" / "report.json").read_text(encoding="utf-8"))
    assert report["sources"] == 2 and report["clips"] >= 3
    assert (tmp_path / "set" / "anna_two.safetensors").is_file()
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("*.safetensors")}
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("*.safetensors")}
