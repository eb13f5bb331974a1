"""What the front end asks of files: the waveform of a speech, the faces of a picture."""

import asyncio
import importlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

DEMO = Path(__file__).resolve().parents[2] / "portraittalk" / "assets" / "demo"


@pytest.fixture
def info(pack, nodes, folders):
    shutil.copy(DEMO / "portrait.jpg", folders["input"] / "one.jpg")
    shutil.copy(DEMO / "speech.wav", folders["input"] / "speech.wav")
    return importlib.import_module(f"{pack.__name__}.nodes.media_info")


def test_a_speech_has_a_length_and_peaks(info):
    told = info.waveform_info("speech.wav")
    assert told["seconds"] == pytest.approx(6.74, abs=0.1)
    assert len(told["peaks"]) == info.WAVEFORM_PARTS and 0.1 < max(told["peaks"]) <= 1


def test_faces_come_in_the_order_of_their_numbers_with_warnings(info, folders):
    portrait = Image.open(DEMO / "portrait.jpg")
    pair = Image.new("RGB", (960, 768), "white")
    pair.paste(portrait, (192, 0))
    pair.paste(portrait.resize((192, 192)), (0, 300))
    pair.save(folders["input"] / "pair.png")
    large, small = info.faces_info("pair.png")["faces"]
    assert large["box"][0] > 0.3 > small["box"][2] and large["warnings"] == []
    assert any("pixels high" in sentence for sentence in small["warnings"])
    (only,) = info.faces_info("one.jpg")["faces"]
    assert all(0 <= edge <= 1 for edge in only["box"]) and only["box"][2] - only["box"][0] > 0.1


def test_requests_are_answered_in_json_and_never_leave_the_folder(info, host, library, folders):
    (folders["input"].parent / "secret.wav").write_bytes((DEMO / "speech.wav").read_bytes())

    def ask(name):
        answer = asyncio.run(host.routes.handler(info.waveform_info)(SimpleNamespace(query={"name": name})))
        return answer.status, json.loads(answer.text)

    assert ask("speech.wav")[0] == 200
    for name in ("../secret.wav", "nowhere.wav", ""):
        status, told = ask(name)
        assert status == 400 and "no file" in told["error"]
