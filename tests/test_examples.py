"""The scripts of examples/ run as they are, on the demo."""

import runpy
import shutil
import subprocess
import sys

import pytest
import torch
import typer
from PIL import Image

from portraittalk import cli
from portraittalk.media.reader import read_video
from portraittalk.motion.track import MotionTrack

pytestmark = pytest.mark.usefixtures("pictures_seen_once")

SECONDS = ("--seconds", "0.2")
FRAMES = 5


@pytest.fixture
def example(repository, tmp_path, monkeypatch, capsys):
    """example(name, arguments...) -> what the script printed; it runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments), *SECONDS])
        with torch.random.fork_rng():
            runpy.run_path(str(repository / "examples" / f"{name}.py"), run_name="__main__")
        return capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def small(tmp_path_factory, repository):
    """The demo portrait at a third of its size, and the demo speech."""
    demo = repository / "portraittalk" / "assets" / "demo"
    path = tmp_path_factory.mktemp("small") / "portrait.png"
    Image.open(demo / "portrait.jpg").resize((256, 256)).save(path)
    return path, demo / "speech.wav"


def count(path):
    return len(list(read_video(path)))


def test_talk(example, small, tmp_path):
    assert f"{FRAMES} frames" in example("talk", *small, tmp_path / "a.mp4", "--prompt", "a smile").out
    assert count(tmp_path / "a.mp4") == FRAMES


def test_edit_motion(example, small, tmp_path):
    example("edit_motion", *small)
    assert count(tmp_path / "talking.mp4") == len(MotionTrack.load(tmp_path / "motion.json")) == FRAMES


def test_several_references(example, small, tmp_path):
    portrait, speech = small
    mirrored = tmp_path / "mirrored.png"
    Image.open(portrait).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    assert "gave" in example("several_references", speech, tmp_path / "a.mp4", portrait, mirrored).out
    assert count(tmp_path / "a.mp4") == FRAMES


def test_stream_frames(example, small, tmp_path):
    assert f"{FRAMES} of {FRAMES}" in example("stream_frames", *small, "--folder", "some").out
    assert len(list((tmp_path / "some").iterdir())) == FRAMES


def test_batch_goes_on_after_a_file_that_cannot_be_used(example, small, tmp_path, capsys):
    portraits, speeches = tmp_path / "portraits", tmp_path / "speeches"
    portraits.mkdir()
    speeches.mkdir()
    shutil.copy(small[0], portraits / "b.png")
    (portraits / "a.png").write_bytes(b"no picture")
    shutil.copy(small[1], speeches / "x.wav")
    with pytest.raises(SystemExit) as ended:
        example("batch", portraits, speeches, "videos")
    assert ended.value.code == 1 and "a.png" in capsys.readouterr().err
    assert count(tmp_path / "videos" / "b_x.mp4") == FRAMES


def test_two_people_talk_one_after_the_other(example, small, tmp_path):
    portrait = Image.open(small[0])
    pair = Image.new("RGB", (448, 256), "white")
    pair.paste(portrait, (192, 0))
    pair.paste(portrait.resize((192, 192)), (0, 32))
    pair.save(tmp_path / "pair.png")
    printed = example("conversation", tmp_path / "pair.png", small[1], small[1], "pair.mp4", "--faces", 1, 0)
    assert "18 frames" in printed.out  # twice 0.2 s, and 0.3 s between them
    video = read_video(tmp_path / "pair.mp4")
    assert video.size == (256, 448) and video.has_audio


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_job_script_can_be_read_by_its_shell(repository):
    checked = subprocess.run(["bash", "-n", str(repository / "examples" / "ray_slurm.sh")], capture_output=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", ["ray_compose.yaml", "ray_slurm.sh"])
def test_clusters_run_a_command_that_exists(repository, name):
    lines = (repository / "examples" / name).read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if "portraittalk batch" in line and "--out" in line)
    given = {word for word in line.split("portraittalk batch")[1].split() if word.startswith("--")}
    known = typer.main.get_command(cli.app).commands["batch"].params
    assert given == {"--out", "--ray"} and given <= {option for one in known for option in one.opts}


def test_the_containers_are_a_head_and_workers_on_one_folder(repository):
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((repository / "examples" / "ray_compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"head", "worker"} and services["head"]["volumes"] == services["worker"]["volumes"]
    assert "--num-cpus=0" in services["head"]["command"] and "--address=head:6379" in services["worker"]["command"]
