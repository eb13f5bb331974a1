"""``portraittalk weights``: from a download out of a small hub to a model, and what is told of the rest."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.errors import OutputError, SettingsError, WeightsError
from portraittalk.models.autoencoder import FastDecoder
from portraittalk.pipelines.load import load_model
from portraittalk.pipelines.prompt import VOCABULARY
from portraittalk.weights import public
from portraittalk.weights.catalogue import catalogue
from portraittalk.weights.layouts import LAYOUTS


@pytest.fixture
def run():
    """run(*arguments) -> what was printed; errors are raised."""

    def call(*arguments):
        result = CliRunner().invoke(cli.app, ["weights", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


@pytest.fixture
def tiny(checkpoint, hub, monkeypatch, tmp_path):
    """The hub offers the tiny checkpoint under EchoMimic's names, and the layout is tiny."""
    for name, layout in LAYOUTS.items():  # the others share some of the files
        other = replace(checkpoint[0].config, name=name) if name != "aniportrait" else layout.config
        small = replace(other, autoencoder=checkpoint[0].config.autoencoder)
        monkeypatch.setitem(public.LAYOUTS, name, replace(layout, config=small))
    taesd = tmp_path / "taesd.safetensors"
    save_file({key: value.contiguous() for key, value in FastDecoder().tiny.state_dict().items()}, taesd)
    for role, file in catalogue().models["echomimic"].files.items():
        hub.files[f"{file.repo}/{file.path}"] = (checkpoint[2] | {"taesd": taesd})[role].read_bytes()
    monkeypatch.setattr("portraittalk.output_files.free_space", lambda path: 10**12)  # as if the files had full size
    return hub


def test_a_model_is_downloaded_made_and_listed(run, tiny, tmp_path):
    folder = tmp_path / "models"
    assert "7 of 7 files missing" in run("list", "--models-dir", folder)
    place = ("--models-dir", folder, "--endpoint", tiny.endpoint)
    assert "BadToBest/EchoMimic" in run("get", "echomimic", *place)
    told = run("verify", "--models-dir", folder)
    assert told.count("SHA-256 as announced") == 7 and "expected about 3.40 GB" in told
    assert told.count("echomimic: ") == 7  # the model, and its files, of which the denoiser's two are judged together
    assert "echomimic-acc: " in told and "BROKEN" not in told
    assert "present" in run("list", "--models-dir", folder)
    assert load_model("echomimic", folders=[folder]).config.fast_decoder
    assert "already exists" in run("get", "echomimic", *place, "--remove-files")
    (folder / "echomimic.safetensors").unlink()
    asked = len(tiny.asked)
    run("get", "echomimic", *place, "--remove-files")
    assert len(tiny.asked) == asked  # made of what was there
    assert not [path for path in (folder / "public").iterdir() if path.suffix in (".pth", ".safetensors")]


def test_models_in_the_folder_of_the_environment_are_listed(run, models, monkeypatch):
    monkeypatch.setenv("PORTRAITTALK_MODELS", str(models))
    told = run("list")
    assert "tiny" in told and str(models) in told


def test_what_is_broken_is_found(run, tiny, tmp_path):
    files = catalogue().files
    for name in ("echomimic_face_locator.pth", "sd-vae-ft-mse.safetensors", "whisper-tiny.safetensors"):
        run("get", name, "--models-dir", tmp_path, "--endpoint", tiny.endpoint)
    whisper, vae = (files[name].place(tmp_path) for name in ("whisper-tiny.safetensors", "sd-vae-ft-mse.safetensors"))
    locator = files["echomimic_face_locator.pth"].found([tmp_path])
    assert locator.name == "echomimic_face_locator.safetensors"  # pickled files are converted at once
    state = load_file(locator)
    save_file(state | {"stranger.weight": torch.zeros(1)}, locator)
    vae.write_bytes(vae.read_bytes()[:-10])
    whole = bytearray(whisper.read_bytes())
    whole[-1] ^= 1
    whisper.write_bytes(whole)
    assert files["sd-vae-ft-mse.safetensors"].state([tmp_path]) == "broken"
    (tmp_path / "foreign.safetensors").write_bytes(locator.read_bytes())
    result = CliRunner().invoke(cli.app, ["weights", "verify", "--models-dir", str(tmp_path)])
    assert isinstance(result.exception, WeightsError)
    broken = [line for line in result.output.splitlines() if line.startswith("BROKEN")]
    assert any("sd-vae-ft-mse.safetensors: damaged" in line for line in broken)
    assert any("whisper-tiny.safetensors" in line and "SHA-256" in line for line in broken)
    assert any("stranger.weight" in line for line in broken)
    assert any("foreign: foreign.safetensors is not a file of PortraitTalk weights" in line for line in broken)


def test_licences_against_commercial_use_are_asked_about(run, hub, tmp_path):
    file = catalogue().files["ip-adapter-faceid-plusv2_sd15.bin"]
    torch.save({"weight": torch.ones(2)}, tmp_path / "pickled.bin")
    hub.files[f"{file.repo}/{file.path}"] = (tmp_path / "pickled.bin").read_bytes()
    place = (file.name, "--models-dir", tmp_path, "--endpoint", hub.endpoint)
    with pytest.raises(SettingsError, match="--accept-licence"):
        run("get", *place)
    assert not hub.asked
    run("get", *place, "--accept-licence")
    assert load_file(file.place(tmp_path).with_suffix(".safetensors"))["weight"].sum() == 2
    assert not file.place(tmp_path).exists()
    assert "NOT for commercial use" in run("list", "--models-dir", tmp_path)


def test_a_pickled_file_becomes_safetensors_and_one_with_code_does_not(run, tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "some.ckpt", _use_new_zipfile_serialization=False)
    run("convert", tmp_path / "some.ckpt")
    assert load_file(tmp_path / "some.safetensors")["weight"].sum() == 2
    torch.save({"weight": replace}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match=r"code\.pth"):
        run("convert", tmp_path / "code.pth")
    assert not (tmp_path / "code.safetensors").exists()


def test_only_what_was_downloaded_is_deleted_after_the_conversion(run, hub, tmp_path):
    file = catalogue().files["echomimic_face_locator.pth"]
    own = file.place(tmp_path)
    own.parent.mkdir()
    torch.save({"weight": torch.ones(2)}, own)
    place = ("--models-dir", tmp_path, "--endpoint", hub.endpoint)
    hub.files[f"{file.repo}/{file.path}"] = own.read_bytes()
    assert run("get", file.name, *place).strip().endswith("echomimic_face_locator.safetensors")
    assert own.is_file() and not hub.asked
    own.unlink()
    own.with_suffix(".safetensors").unlink()
    run("get", file.name, *place)
    assert not own.exists() and own.with_suffix(".safetensors").is_file() and hub.asked


def test_too_little_space_is_known_before_a_download(run, hub, tmp_path, monkeypatch):
    monkeypatch.setattr("portraittalk.output_files.free_space", lambda path: 10**9)
    with pytest.raises(OutputError, match=r"needs about 1\d\.\d GB, but only 1\.0 GB are free"):
        run("get", "echomimic", "--models-dir", tmp_path, "--endpoint", hub.endpoint)
    assert not hub.asked


def test_what_lacks_is_named_with_its_address_and_folder(run, tmp_path):
    with pytest.raises(WeightsError) as refused:
        run("convert", "echomimic-acc", "--models-dir", tmp_path)
    assert "https://huggingface.co/BadToBest/EchoMimic/resolve/main/denoising_unet_acc.pth" in str(refused.value)
    assert str(tmp_path / "public") in str(refused.value)
    with pytest.raises(WeightsError, match="aniportrait"):
        run("get", "something", "--models-dir", tmp_path)
    with pytest.raises(SettingsError, match="--models-dir"):
        run("verify")


def test_what_lies_beside_a_model_is_got_too(hub, tmp_path):
    words, other = (catalogue().files[name] for name in ("vocab.json", "merges.txt"))
    hub.files[f"{words.repo}/{words.path}"] = b"{}"
    place = ("--models-dir", str(tmp_path), "--endpoint", hub.endpoint)
    told = CliRunner().invoke(cli.app, ["weights", "get", "vocab.json", *place], catch_exceptions=False)
    assert told.output.strip().endswith(str(tmp_path / VOCABULARY / "vocab.json"))
    model = catalogue().models["animatediff"]
    assert words not in model.missing([tmp_path]) and other in model.missing([tmp_path])


def test_the_list_agrees_with_the_layouts():
    for model in catalogue().models.values():
        assert set(model.files) - {"taesd", "lcm_lora"} == set(LAYOUTS[model.layout].files)
    for file in catalogue().files.values():
        assert file.sha256 is None or len(file.sha256) == 64
        assert file.commercial == ("non-commercial" not in file.licence and "research" not in file.licence)
