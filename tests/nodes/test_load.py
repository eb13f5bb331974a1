"""The loaders: of models, of speech and of portraits."""

import math
import os
import struct
import wave

import pytest
import torch
from PIL import Image

DEMO = {
    "PortraitTalkLoadPortrait": "portraittalk/demo_portrait.jpg",
    "PortraitTalkLoadAudio": "portraittalk/demo_speech.wav",
}
OLD = {"PortraitTalkLoadPortrait": "demo portrait (built in)", "PortraitTalkLoadAudio": "demo speech (built in)"}


@pytest.fixture
def recording(folders):
    """rec.wav: one second of 8 kHz mono that counts up, so that every sample tells where it was."""
    samples = [round(32000 * math.sin(i / 40)) for i in range(8000)]
    with wave.open(str(folders["input"] / "rec.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(struct.pack("<8000h", *samples))
    return torch.tensor(samples) / 32768


def test_speech_is_loaded_as_core_has_it(run, recording):
    audio = run("PortraitTalkLoadAudio", audio="rec.wav", start=0.0, duration=0.0)[0]
    assert audio["sample_rate"] == 8000 and audio["waveform"].shape == (1, 1, 8000)
    assert torch.allclose(audio["waveform"][0, 0], recording)


def test_a_part_of_the_speech(run, recording):
    audio = run("PortraitTalkLoadAudio", audio="rec.wav", start=0.25, duration=0.5)[0]
    assert torch.allclose(audio["waveform"][0, 0], recording[2000:6000])


@pytest.mark.parametrize("names", [DEMO, OLD])
def test_the_demo_runs_with_an_empty_input_folder(run, folders, names):
    image, mask = run("PortraitTalkLoadPortrait", image=names["PortraitTalkLoadPortrait"])
    assert image.shape[0] == 1 and image.shape[3] == 3 and min(image.shape[1:3]) >= 512
    assert mask.shape == image.shape[:3] and not mask.any()
    audio = run("PortraitTalkLoadAudio", audio=names["PortraitTalkLoadAudio"], start=0.0, duration=0.0)[0]
    assert audio["waveform"].shape[-1] > audio["sample_rate"]


def test_the_demo_is_where_the_front_end_can_show_it(nodes, host, folders):
    host.demo.provide()
    for node, name in DEMO.items():
        file = folders["input"] / name
        assert file.stat().st_size > 100_000
        (socket,) = (name for name in ("image", "audio") if name in nodes[node].GET_NODE_INFO_V1()["input"]["required"])
        assert nodes[node].GET_NODE_INFO_V1()["input"]["required"][socket][1]["options"][0] == name
    film = folders["input"] / "portraittalk_demo_film.mp4"  # not in a folder: core's Load Video would not list it
    assert 100_000 < film.stat().st_size < 400_000


def test_a_copy_of_the_demo_that_was_changed_stays(run, host, folders):
    place = folders["input"] / DEMO["PortraitTalkLoadPortrait"]
    place.parent.mkdir()
    Image.new("RGB", (64, 48)).save(place)
    host.demo.provide()
    assert run("PortraitTalkLoadPortrait", image=DEMO["PortraitTalkLoadPortrait"])[0].shape == (1, 48, 64, 3)


def test_an_input_folder_that_cannot_be_written_is_no_error(run, host, folders, caplog):
    (folders["input"] / "portraittalk").write_text("a file where the folder would be")
    host.demo.provide()
    assert "cannot be shown" in caplog.text
    assert run("PortraitTalkLoadPortrait", image=DEMO["PortraitTalkLoadPortrait"])[0].shape[1] >= 512


def test_transparency_becomes_the_mask(run, folders):
    picture = Image.new("RGBA", (64, 48), (255, 0, 0, 255))
    picture.paste((0, 255, 0, 0), (0, 0, 32, 48))
    picture.save(folders["input"] / "cut.png")
    image, mask = run("PortraitTalkLoadPortrait", image="cut.png")
    assert image.shape == (1, 48, 64, 3) and mask.shape == (1, 48, 64)
    assert mask[0, :, :32].eq(1).all() and mask[0, :, 32:].eq(0).all()


def test_a_large_picture_keeps_its_size(run, folders):
    Image.new("RGB", (2500, 100)).save(folders["input"] / "wide.png")
    assert run("PortraitTalkLoadPortrait", image="wide.png")[0].shape[1:3] == (100, 2500)


@pytest.mark.parametrize(("node", "name"), [("PortraitTalkLoadAudio", "audio"), ("PortraitTalkLoadPortrait", "image")])
def test_a_file_that_is_not_there_is_said_before_the_run(nodes, folders, node, name):
    problem = nodes[node].validate_inputs(**{name: "gone.file"})
    assert problem == "There is no file 'gone.file' in ComfyUI's input folder; upload it or choose another."
    for known in (DEMO[node], OLD[node]):
        assert nodes[node].validate_inputs(**{name: known}) is True


@pytest.mark.parametrize(
    "content", [b"", b"just text", b"\x89PNG\r\n\x1a\n" + b"\0" * 40], ids=["empty", "text", "truncated"]
)
def test_a_file_that_is_no_picture_is_refused(run, library, folders, content):
    (folders["input"] / "a.png").write_bytes(content)
    with pytest.raises(library("errors").MediaError, match=r"a\.png"):
        run("PortraitTalkLoadPortrait", image="a.png")


def test_a_picture_is_no_speech(run, library, folders):
    Image.new("RGB", (64, 64)).save(folders["input"] / "a.png")
    with pytest.raises(library("errors").MediaError):
        run("PortraitTalkLoadAudio", audio="a.png", start=0.0, duration=0.0)


def test_another_file_of_the_same_name_is_loaded_anew(nodes, folders, recording):
    loader = nodes["PortraitTalkLoadAudio"]
    before = loader.fingerprint_inputs(audio="rec.wav", start=0.0, duration=0.0)
    assert before == loader.fingerprint_inputs(audio="rec.wav", start=0.0, duration=0.0)
    os.utime(folders["input"] / "rec.wav", ns=(1, 1))
    assert before != loader.fingerprint_inputs(audio="rec.wav", start=0.0, duration=0.0)


def test_the_model_is_managed_by_comfyui(model):
    import comfy.model_management as management

    assert model.ready().config.name == "mini"
    assert any(loaded.model is model.patcher for loaded in management.current_loaded_models)


@pytest.mark.parametrize("name", ["gone.safetensors", "../mini.safetensors", "/etc/passwd", "", "mini"])
def test_a_model_is_chosen_from_the_list(nodes, library, folders, name):
    loader = nodes["PortraitTalkModelLoader"]
    assert (
        loader.validate_inputs(model=name)
        == f"There is no model '{name}' in models/portraittalk; choose one from the list."
    )
    with pytest.raises(library("errors").WeightsError):
        loader.execute(model=name)


def test_a_damaged_model_is_refused(run, library, folders):
    (folders["models"] / "bad.safetensors").write_bytes(b"not a model at all")
    with pytest.raises(library("errors").WeightsError, match=r"bad\.safetensors"):
        run("PortraitTalkModelLoader", model="bad.safetensors")


def test_a_model_that_vanishes_after_it_was_checked_is_said(nodes, run, library, folders, untrained):
    path = folders["models"] / "own.safetensors"
    path.symlink_to(untrained)
    loader = nodes["PortraitTalkModelLoader"]
    assert loader.validate_inputs(model=path.name) is True
    path.unlink()
    for late in (loader.fingerprint_inputs, loader.execute):
        with pytest.raises(library("errors").WeightsError, match=r"There is no model 'own\.safetensors'"):
            late(model=path.name)


def test_a_model_that_is_overwritten_is_loaded_anew_and_the_loaded_one_lives(nodes, run, folders, library, untrained):
    """Weights that lay in a mapping of the file would end the process when they are read beyond the file's new end."""
    path = folders["models"] / "own.safetensors"
    path.write_bytes(untrained.read_bytes())
    loader = nodes["PortraitTalkModelLoader"]
    (model,), before = run("PortraitTalkModelLoader", model=path.name).result, loader.fingerprint_inputs(path.name)
    path.write_bytes(b"\xff" * 4096)
    assert loader.fingerprint_inputs(path.name) != before
    with pytest.raises(library("errors").WeightsError, match=r"own\.safetensors"):
        run("PortraitTalkModelLoader", model=path.name)
    assert all(value.isfinite().all() for net in model.model.modules().values() for value in net.state_dict().values())
