"""A few-step student: it learns to give at once what its teacher arrives at in many steps from the same noise.

The teacher's sampling (DDIM, eta 0) is a function of the noise: there is one right answer to every noise, and the
student need not average over several, as a network does that is trained on data alone. The student sees the teacher's
own way at the noise levels of its ``steps``, and is asked for the way's end: direct distillation of the ODE, as in
Luhman and Luhman 2021 for one step. It cannot become better than the teacher.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from ...config import PortraitTalkConfig
from ...errors import SettingsError
from ...models.animate_net import AnimateNet, Conditions
from ...sampling.steps import Step, velocity_steps
from ..data.clips import choose
from ..trainer import Batch, TrainerConfig, Validate, fit
from .stages import MOUTH, STILL, AnimateTraining, Networks, batches, mouth_cells
from .validate import conditions_of


@dataclass(frozen=True)
class DistilTraining:
    """steps: of the student. teacher_steps: a multiple of it. window, batch: frames of a sample, and of a step."""

    steps: Annotated[int, Ge(1)] = 1
    teacher_steps: Annotated[int, Ge(1)] = 8
    window: Annotated[int, Ge(1)] = 8
    batch: Annotated[int, Ge(1)] = 16
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def train_distil(
    pairs: list[Path],
    teacher: Networks,
    config: PortraitTalkConfig,
    training: DistilTraining,
    out: Path,
    validate: Validate | None = None,
) -> nn.Module:
    """From pair files into ``out``: the averaged student, which begins as the teacher and keeps its IdentityNet.

    Raises SettingsError where the teacher's steps are no multiple of the student's.
    """
    if training.teacher_steps % training.steps:
        raise SettingsError(
            f"The teacher's steps must be a multiple of the student's {training.steps}, not {training.teacher_steps}."
        )
    student = copy.deepcopy(teacher)
    student.animate_net.requires_grad_(True)
    student.identity_net.requires_grad_(False)
    teacher.requires_grad_(False).eval()

    def loss(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
        return distil_loss(cast(Networks, model), teacher, batch, training, noise)

    draw = batches(pairs, {}, config, AnimateTraining(stage=2, window=training.window, batch=training.batch, part=0))
    return fit(student, draw, loss, training.trainer, out, training.seed, validate)


def distil_loss(
    student: Networks, teacher: Networks, batch: Batch, training: DistilTraining, noise: Generator
) -> dict[str, Tensor]:
    """How far the student's clean latents are from the end of the teacher's way, weighted as in ``animate_loss``."""
    warped = batch["warped"]
    teacher.to(warped.device)
    conditions = conditions_of(student, batch)
    eps = torch.randn(warped.shape, generator=noise).to(warped)
    chosen = choose(training.steps, noise)
    with torch.no_grad():
        seen, end = teacher_way(teacher.animate_net, eps, conditions, training, chosen)
    step = velocity_steps(training.steps)[chosen]
    clean = predicted_clean(student.animate_net, step, seen, conditions)
    error = (clean - end).square()
    weight = (STILL + batch["mask"] + MOUTH * mouth_cells(batch["map"], warped.shape[-1])).expand_as(error)
    return {"loss": (error * weight).sum() / weight.sum()}


def teacher_way(
    net: AnimateNet, eps: Tensor, conditions: Conditions, training: DistilTraining, chosen: int
) -> tuple[Tensor, Tensor]:
    """Noise (B, C, F, h, w) -> the teacher's sample where the student's step number ``chosen`` begins, and its end."""
    sample = seen = eps
    for number, step in enumerate(velocity_steps(training.teacher_steps)):
        if number == chosen * training.teacher_steps // training.steps:
            seen = sample
        velocity = net(sample, torch.tensor(step.timestep, device=eps.device), conditions)
        sample = step.advance(sample, velocity.float())
    return seen, sample


def predicted_clean(net: AnimateNet, step: Step, sample: Tensor, conditions: Conditions) -> Tensor:
    """The clean latents that the network's velocity at ``step`` means."""
    velocity = net(sample, torch.tensor(step.timestep, device=sample.device), conditions).float()
    return step.signal * sample - step.noise * velocity
