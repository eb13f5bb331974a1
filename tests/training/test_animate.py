"""Both stages on pair files of the demo portrait: what is built is read, and the loss falls."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from portraittalk.compositing.draw import MAP_CHANNELS
from portraittalk.models.animate_net import Conditions
from portraittalk.training.animate.stages import AnimateTraining, Networks, batches, mouth_cells, train_animate
from portraittalk.training.trainer import TrainerConfig


def training(stage: int, steps: int = 0) -> AnimateTraining:
    trainer = TrainerConfig(steps=steps, learning_rate=2e-3, warmup=5, bf16=False, ema=0.8)
    return AnimateTraining(
        stage=stage, window=4, batch=4, dropout=0.0, feature_dropout=0.0, first=1.0, part=0, trainer=trainer
    )


def test_batches_have_the_layout_of_the_conditions(pairs, tiny):
    side, tokens = tiny.latent_size, tiny.structure.coefficients
    batch = batches(pairs, {}, tiny, training(1))(Generator().manual_seed(0))
    assert batch["target"].shape == (4, 4, 1, side, side)
    assert batch["structure"].shape == (4, 1, tokens)
    windows = batches(pairs, {}, tiny, replace(training(2), batch=8))(Generator().manual_seed(0))
    assert windows["target"].shape == (2, 4, 4, side, side)
    assert windows["speech"].shape == (2, 4, 20, 80)


def test_a_part_is_cut_about_the_mouth_or_the_eyes(pairs, tiny):
    mouths, eyes = (
        batches(pairs, {}, tiny, replace(training(2), part=2, batch=80, eyes=share, shares={"video": 1.0}))(
            Generator().manual_seed(0)
        )
        for share in (0, 1)
    )
    fine = tiny.structure.map_size // tiny.latent_size
    for batch in (mouths, eyes):
        assert batch["target"].shape[-2:] == batch["mask"].shape[-2:] == (2, 2)
        assert batch["map"].shape[-2:] == (2 * fine, 2 * fine)
    lips, open_eyes = MAP_CHANNELS.index("outer lips"), MAP_CHANNELS.index("open eyes")
    assert mouths["map"][:, :, lips].mean() > eyes["map"][:, :, lips].mean()
    assert eyes["map"][:, :, open_eyes].mean() > mouths["map"][:, :, open_eyes].mean()


def test_kinds_come_in_their_shares(pairs, tiny):
    only = replace(training(1), shares={"video": 0.0, "driven": 1.0, "still": 0.0}, batch=32)
    assert batches(pairs, {}, tiny, only)(Generator().manual_seed(0))["speech"].abs().amax((1, 2, 3)).gt(0).all()
    still = replace(only, shares={"video": 0.0, "driven": 0.0, "still": 1.0})
    assert not batches(pairs, {}, tiny, still)(Generator().manual_seed(0))["speech"].any()


def test_a_step_shows_one_or_several_references(pairs, tiny):
    counts = []
    for chances in ((1.0,), (0.0, 1.0), (0.0, 0.0, 1.0)):
        draw = batches(pairs, {}, tiny, replace(training(1), references=chances, batch=8))
        shown = draw(Generator().manual_seed(0))["reference"]
        counts.append(shown.shape[1])
        assert shown.shape[2] == 3 and shown.min() >= 0 and shown.max() <= 1
    assert counts == [1, 2, 3]
    assert not torch.equal(shown[:, 0], shown[:, 1])


def test_the_loss_looks_most_at_the_mouth(pairs, tiny):
    batch = batches(pairs, {}, tiny, training(2))(Generator().manual_seed(0))
    cells = mouth_cells(batch["map"], tiny.latent_size)
    assert cells.shape == (1, 1, 4, tiny.latent_size, tiny.latent_size)
    rows = cells.mean((0, 1, 2, 4))
    assert rows.argmax() >= tiny.latent_size // 2
    assert cells[..., 0, :].max() < 0.05


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_lowers_its_loss_and_stage_two_leaves_identity_alone(pairs, tiny, stage, tmp_path, losses):
    torch.manual_seed(0)
    networks = Networks(tiny)
    before = {name: value.clone() for name, value in networks.identity_net.state_dict().items()}
    settings = replace(training(stage), trainer=replace(training(stage, steps=20).trainer, log_every=5))
    known = torch.nn.functional.normalize(torch.randn(1, tiny.identity_net.embedding_dim), dim=1)
    trained = train_animate(pairs, {"anna_talks_000": known}, networks, tiny, settings, tmp_path)
    told = losses(tmp_path)
    assert told[-1] < 0.8 * told[0]
    same = [torch.equal(value, before[name]) for name, value in trained.identity_net.state_dict().items()]
    assert all(same) if stage == 2 else not all(same)


def test_after_stage_one_frames_are_still_independent(pairs, tiny, tmp_path):
    trained = train_animate(pairs, {}, Networks(tiny), tiny, training(1, steps=2), tmp_path)
    sample = batches(pairs, {}, tiny, training(2))(Generator().manual_seed(0))
    noisy = torch.randn_like(sample["target"])

    def velocity(frames: slice) -> Tensor:
        identity = trained.identity_net(sample["reference"][0])[None]
        conditions = Conditions(
            *(sample[name][:, :, frames] for name in ("warped", "mask")),
            sample["map"][:, frames], identity, sample["speech"][:, frames], sample["structure"][:, frames],
        )  # fmt: skip
        with torch.no_grad():
            return trained.animate_net(noisy[:, :, frames], torch.tensor(999), conditions)

    torch.testing.assert_close(velocity(slice(1, 3))[:, :, :1], velocity(slice(1, 2)), atol=1e-4, rtol=1e-3)
