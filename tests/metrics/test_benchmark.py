"""A folder with a clip, a picture without a sound and a broken video: what is measured, and what is said of it."""

import base64
import io
import json
import shutil
import xml.etree.ElementTree as ET

import pytest
import torch
from PIL import Image

from portraittalk.errors import MediaError
from portraittalk.face.mesh import MeshProvider
from portraittalk.metrics.benchmark import Failure, benchmark, subjects_in
from portraittalk.metrics.evaluate import Subject, evaluate, replayed
from portraittalk.metrics.metric_nets import MetricNets
from portraittalk.metrics.report import curves_svg
from portraittalk.types import SamplingSettings


@pytest.fixture
def folder(clip, repository, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(clip, folder / "talks.mp4")
    shutil.copy(repository / "portraittalk/assets/demo/portrait.jpg", folder / "mute.jpg")
    (folder / "broken.mp4").write_bytes(clip.read_bytes()[:500])
    return folder


def test_files_of_one_name_belong_together(folder, repository):
    shutil.copy(folder / "mute.jpg", folder / "a.jpg")
    shutil.copy(repository / "portraittalk/assets/demo/speech.wav", folder / "a.wav")
    shutil.copy(folder / "talks.mp4", folder / "a.mp4")
    shutil.copy(folder / "mute.jpg", folder / "talks.PNG")
    (folder / "broken.phones").touch()
    a, broken, mute, talks = subjects_in(folder)
    assert a == Subject("a", folder / "a.jpg", folder / "a.wav", folder / "a.mp4")
    assert broken == replayed(folder / "broken.mp4", folder / "broken.phones")
    assert isinstance(mute, Failure) and "mute" in mute.sentence
    assert talks == Subject("talks", folder / "talks.PNG", folder / "talks.mp4", folder / "talks.mp4")
    with pytest.raises(MediaError):
        subjects_in(folder / "none")


def test_a_report_is_written_and_failures_are_sentences(tiny_model, folder, tmp_path, metric_nets):
    provider, settings = MeshProvider(), SamplingSettings(steps=1, window=4, overlap=2)
    nets = MetricNets(inception=metric_nets.inception)

    def measure(subject, video):
        return evaluate(tiny_model, subject, video, provider, settings=settings, nets=nets)

    out = tmp_path / "report"
    results = benchmark(subjects_in(folder), measure, out, "A <test>")
    assert [isinstance(result, Failure) for result in results] == [True, True, False]
    report = json.loads((out / "report.json").read_text())
    assert set(report["failures"]) == {"broken", "mute"} and len(report["curves"]["talks"]["found"]) == 6
    assert report["medians"]["lips_asked"] == report["subjects"][0]["lips_asked"]
    assert len((out / "report.tsv").read_text().splitlines()) == 2
    assert "broken:" in (out / "report.md").read_text() and "| talks |" in (out / "report.md").read_text()
    sets = "FID -: 6 made and 6 real frames; at least 100 of each are needed"
    assert report["sets"] == {"fid": None, "fvd": None, "fid_frames": [6, 6], "fvd_clips": [0, 0]}
    assert 0 <= report["naturalness"]["mean"] <= 1
    assert "Motion compared with the real speakers'" in (out / "report.md").read_text()
    html = (out / "report.html").read_text()
    assert sets in html and sets in (out / "report.md").read_text()
    assert "A &lt;test&gt;" in html and "http" not in html.replace("http://www.w3.org", "") and "<script" not in html
    sheet = Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0])))
    assert sheet.size == (10 * 144, 2 * 144)  # made above real


def test_curves_are_drawn_with_gaps_where_there_is_no_face():
    curve = torch.tensor([0.0, 0.1, torch.nan, 0.1, 0.0])
    drawing = ET.fromstring(curves_svg({"asked": curve.nan_to_num(), "found": curve}))
    paths = [path.get("d") for path in drawing.iter("path") if path.get("fill") == "none"]
    assert [path.count("M") for path in paths] == [1, 2] and [path.count("L") for path in paths] == [4, 2]
