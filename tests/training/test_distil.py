"""A student of one or two steps comes nearer to what its teacher makes of the same noise in eight."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from portraittalk.errors import SettingsError
from portraittalk.pipelines.crop import sample_window
from portraittalk.training.animate.distil import DistilTraining, teacher_way, train_distil
from portraittalk.training.animate.stages import AnimateTraining, Networks, batches, train_animate
from portraittalk.training.animate.validate import conditions_of
from portraittalk.training.trainer import TrainerConfig
from portraittalk.types import SamplingSettings

TRAINER = TrainerConfig(steps=20, learning_rate=4e-3, warmup=5, bf16=False, ema=0.8)
TRAINING = DistilTraining(steps=1, teacher_steps=4, window=4, batch=4, trainer=TRAINER)


@pytest.fixture(scope="module")
def teacher(pairs, tiny, tmp_path_factory):
    """Trained at all noise levels alike, so that its first step is not yet its last word."""
    torch.manual_seed(0)
    whole = AnimateTraining(stage=2, window=4, batch=4, first=0.0, feature_dropout=0.0)
    training = replace(whole, part=0, trainer=replace(TRAINER, learning_rate=2e-3))
    return train_animate(pairs, {}, Networks(tiny), tiny, training, tmp_path_factory.mktemp("teacher")).eval()


def sampled(networks, batch, steps):
    """(B, C, F, h, w) from always the same noise."""
    noise = torch.randn(batch["warped"].shape, generator=Generator().manual_seed(1))
    with torch.no_grad():
        conditions = conditions_of(networks, batch)
        return sample_window(networks.animate_net, conditions, noise, SamplingSettings(steps=steps))


@pytest.mark.parametrize("steps", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_student_comes_nearer_to_the_teachers_end(pairs, tiny, teacher, tmp_path, steps):
    batch = batches(pairs, {}, tiny, AnimateTraining(stage=2, window=4, batch=16, part=0))(Generator().manual_seed(5))
    wanted = sampled(teacher, batch, 4)
    before = (sampled(teacher, batch, steps) - wanted).square().mean()
    student = train_distil(pairs, teacher, tiny, replace(TRAINING, steps=steps), tmp_path)
    after = (sampled(student, batch, steps) - wanted).square().mean()
    assert after < 0.9 * before
    kept = zip(student.identity_net.parameters(), teacher.identity_net.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in kept)


def test_the_way_is_that_of_sampling(pairs, tiny, teacher):
    batch = batches(pairs, {}, tiny, AnimateTraining(stage=2, window=4, batch=4, part=0))(Generator().manual_seed(5))
    noise = torch.randn(batch["warped"].shape, generator=Generator().manual_seed(1))
    with torch.no_grad():
        begin, end = teacher_way(teacher.animate_net, noise, conditions_of(teacher, batch), TRAINING, 0)
        half, _ = teacher_way(teacher.animate_net, noise, conditions_of(teacher, batch), replace(TRAINING, steps=2), 1)
    assert torch.equal(begin, noise) and torch.allclose(end, sampled(teacher, batch, 4), atol=1e-5)
    assert not torch.allclose(half, noise, atol=0.1) and not torch.allclose(half, end, atol=0.1)


def test_steps_must_divide(pairs, tiny, teacher, tmp_path):
    with pytest.raises(SettingsError, match="multiple of the student's 3"):
        train_distil(pairs, teacher, tiny, replace(TRAINING, steps=3), tmp_path)
