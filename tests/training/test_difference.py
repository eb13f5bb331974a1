"""The decoder that decodes once: its examples, made by the shipped model, and a moment of training."""

import pytest
import torch
from torch import Generator

from portraittalk.config import DifferenceDecoderConfig
from portraittalk.errors import MediaError, SettingsError
from portraittalk.media.reader import read_video
from portraittalk.training.animate.difference import (
    TENSORS,
    DifferenceTraining,
    batches,
    first_picture,
    load_window_model,
    read_differences,
    train_difference_decoder,
    write_differences,
)
from portraittalk.training.trainer import TrainerConfig
from portraittalk.weights.load import save_weights
from tests.training.conftest import ASSETS

TRAINING = DifferenceTraining(
    batch=4, trainer=TrainerConfig(steps=60, learning_rate=3e-3, warmup=3, bf16=False, ema=0.8, log_every=20)
)


@pytest.fixture(scope="module")
def model():
    return load_window_model("mini")


@pytest.fixture(scope="module")
def folder(model, film, tmp_path_factory):
    """Examples of the demo portrait, and of the first frame of a film of it."""
    out = tmp_path_factory.mktemp("differences")
    write_differences(model, [ASSETS / "portrait.jpg", film], [ASSETS / "speech.wav"], 6, 3, out)
    return out


@pytest.fixture(scope="module")
def examples(folder, film):
    return read_differences([folder / "portrait.safetensors", folder / f"{film.stem}.safetensors"])


def test_examples_are_what_the_model_draws_of_a_portrait_that_speaks(examples, model):
    assert examples["base"].shape == examples["latents"].shape == (12, 16, 16, 16)
    assert examples["difference"].shape == (12, 3, 128, 128)
    latents, base, difference = (examples[name][::5].float() for name in TENSORS)
    with torch.no_grad():
        twice = model.autoencoder.decode(latents) - model.autoencoder.decode(base)
    assert (difference - twice).abs().max() < 0.1 * twice.abs().max()
    assert (difference.abs().mean((1, 2, 3)) > 1e-4).all(), "AnimateNet drew nothing"
    moved = (examples["base"][:6].float() - examples["base"][:1].float()).abs().mean((1, 2, 3))
    assert moved[1:].max() > 0.01, "the frames of a speech are all alike"


def test_files_that_exist_are_kept_and_pictures_without_a_face_left_out(folder, model, tmp_path, caplog):
    from PIL import Image

    kept = (folder / "portrait.safetensors").stat().st_mtime_ns
    Image.new("RGB", (320, 320), "grey").save(tmp_path / "wall.png")
    sources = [ASSETS / "portrait.jpg", tmp_path / "wall.png"]
    write_differences(model, sources, [ASSETS / "speech.wav"], 6, 3, folder)
    assert (folder / "portrait.safetensors").stat().st_mtime_ns == kept
    assert not (folder / "wall.safetensors").exists()
    assert "wall.png is left out" in caplog.text


def test_a_batch_is_drawn_by_its_generator(examples):
    draw = batches(examples, TRAINING)
    one, again, other = (draw(Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in TENSORS)
    assert not torch.equal(one["base"], other["base"])


def test_a_moment_of_training_brings_it_nearer_to_decoding_twice(folder, examples, model, tmp_path):
    files, known = [folder / "portrait.safetensors"], model.config.autoencoder
    trained = train_difference_decoder(
        files, DifferenceDecoderConfig(), known, TRAINING, tmp_path / "run", validation=files
    )
    latents, base, truth = (examples[name][:6].float() for name in TENSORS)
    with torch.no_grad():
        error = (trained(latents, base) - truth).abs().mean() / truth.abs().mean()
        nothing = trained(base, base)
    assert error < 0.8, "as wrong as drawing nothing would be"
    assert not nothing.any(), "without a change of the latents, the picture changes"
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_other_files_and_models_are_refused(tmp_path, tiny_model):
    from safetensors.torch import save_file

    save_file({"warped": torch.zeros(1)}, tmp_path / "pairs.safetensors")
    with pytest.raises(MediaError, match="holds no differences"):
        read_differences([tmp_path / "pairs.safetensors"])
    file = tmp_path / "tiny.safetensors"
    save_weights(file, tiny_model.config, {name: net.state_dict() for name, net in tiny_model.modules().items()})
    with pytest.raises(SettingsError, match="does not draw mouth windows"):
        load_window_model(str(file))


def test_the_first_picture_of_a_film_is_its_first_frame(film):
    assert torch.equal(first_picture(film), next(iter(read_video(film))))
