import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.errors import SettingsError
from portraittalk.models.look_net import recoloured
from portraittalk.text.networks import load_look_networks
from portraittalk.training.looks.formulas import LOOKS, RENDERERS, paper_tile, render_look
from portraittalk.training.looks.painter import LookTraining, train_look_net
from portraittalk.training.looks.prompt_reader import look_caption
from portraittalk.training.trainer import TrainerConfig


def test_every_look_is_rendered_in_range_and_the_same_again(portrait):
    picture, paper = portrait[None, :, 200:328, 300:428], paper_tile(128, torch.Generator().manual_seed(0))[None]
    assert list(RENDERERS) == list(LOOKS)
    for name in LOOKS:
        shown = render_look(name, picture, paper)
        assert shown.shape == picture.shape and shown.amin() >= 0 and shown.amax() <= 1
        assert torch.equal(shown, render_look(name, picture, paper))
        assert (shown - picture).abs().mean() > 0.02, name


def test_maps_of_zero_leave_the_picture(portrait):
    picture = portrait[None, :, :64, :64]
    assert torch.equal(recoloured(picture, torch.zeros(1, 12, 32, 32)), picture)


def test_a_short_run_learns(repository, tmp_path, losses):
    trainer = TrainerConfig(steps=40, learning_rate=3e-3, warmup=5, log_every=1, bf16=False)
    training = LookTraining(batch=2, size=48, large=0.0, trainer=trainer)
    train_look_net([repository / "portraittalk/assets/demo/portrait.jpg"], training, tmp_path)
    told = losses(tmp_path)
    assert sum(told[-10:]) < 0.8 * sum(told[:10])


def test_captions_of_looks_repeat_and_some_ask_for_none():
    generators = (torch.Generator().manual_seed(3) for _ in range(2))
    many, again = ([look_caption(generator) for _ in range(300)] for generator in generators)
    assert many == again
    assert 60 < sum(not looks for _, looks in many) < 180
    assert all(name in LOOKS for _, looks in many for name in looks)


def test_both_networks_are_trained_from_the_command_line_into_one_file(repository, tmp_path):
    def train(*arguments):
        result = CliRunner().invoke(cli.app, ["train", "look", *map(str, arguments)])
        assert result.exit_code == 0, result.output

    demo, file = repository / "portraittalk/assets/demo", tmp_path / "look.safetensors"
    train("net", "--out", tmp_path / "net", "--portraits", demo, "--steps", 1, "--set", "training.size=32")
    weights = tmp_path / "net" / "weights.safetensors"
    small = ("--set", "training.captions=60", "--set", "training.trainer.learning_rate=0.01")
    train("reader", "--out", tmp_path / "reader", "--net", weights, "--file", file, "--steps", 40, *small)
    networks = load_look_networks(file)
    assert networks.config == load_look_networks().config
    assert torch.allclose(networks.net.paper, load_file(weights)["paper"], atol=1e-2)
    with pytest.raises(SettingsError, match="contains no pictures"):
        empty = ["--out", tmp_path / "x", "--portraits", tmp_path / "net"]
        CliRunner().invoke(cli.app, ["train", "look", "net", *map(str, empty)], catch_exceptions=False)
