"""The example of a client, against a real server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "portraittalk" / "assets" / "demo"


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("client") / "a portrait.png"
    with Image.open(DEMO / "portrait.jpg") as image:
        image.resize((256, 256)).save(path)
    return path


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, str(ROOT / "examples" / "comfyui_client.py"), *map(str, arguments), "--seconds", "0.4"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300)


def test_it_sends_files_follows_the_run_and_fetches_the_video(server: ComfyServer, portrait: Path) -> None:
    out = portrait.with_name("talking.mp4")
    ended = run(portrait, DEMO / "speech.wav", out, "--server", server.address, "--prompt", "a smile", "--seed", 3)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == str(out) and sorted(path.name for path in out.parent.iterdir()) == [
        *("a portrait.png", "talking.mp4"),
    ]
    movie = read_movie(out)
    assert movie.frames.shape == (10, 256, 256, 3) and movie.sound is not None
    assert "PortraitTalkAnimateNetSampler" in ended.stderr and " of " in ended.stderr
    (made,) = [path for path in server.output.rglob("*.mp4") if path.read_bytes() == out.read_bytes()]
    assert made.parent.name == "video"


def test_errors_of_nodes_and_of_the_server_are_told(server: ComfyServer, portrait: Path) -> None:
    out = portrait.with_name("none.mp4")
    grey = portrait.with_name("grey.png")
    Image.new("RGB", (256, 256), "grey").save(grey)
    ended = run(grey, DEMO / "speech.wav", out, "--server", server.address)
    assert ended.returncode == 1 and "PortraitTalkIdentityEncode: " in ended.stderr and "No face" in ended.stderr
    ended = run(portrait, portrait, out, "--server", server.address)  # no speech
    assert ended.returncode == 1 and "PortraitTalkLoadAudio: " in ended.stderr
    ended = run(portrait, DEMO / "speech.wav", out, "--server", "127.0.0.1:9")
    assert ended.returncode == 1 and "There is no ComfyUI at 127.0.0.1:9" in ended.stderr
    assert not out.exists() and "Traceback" not in ended.stderr
