"""The training loop of all networks, on accelerate: AdamW, warm-up, cosine decay, gradient accumulation, EMA, resume.

With several processes (``torchrun``) each draws its own batches, gradients are averaged, and only the main process
writes. All randomness of a step is seeded by ``step_seeds`` from the run's seed, the process and the step, so a resumed
run ends with exactly the weights of an uninterrupted one.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..output_files import make_folder
from ..precision import computes_bf16
from .checkpoint import resume, save
from .run_log import Means, RunLog

logger = logging.getLogger(__name__)

Batch = dict[str, Tensor]
Draw = Callable[[Generator], Batch]
Loss = Callable[[nn.Module, Batch, Generator], dict[str, Tensor]]
Validate = Callable[[nn.Module, int], dict[str, Tensor]]


@dataclass(frozen=True)
class TrainerConfig:
    """steps, minutes: the run ends at whichever is reached first; the learning rate decays towards that end.

    minutes include the time before a resume. bf16: mixed precision, if the device supports it. accumulate: batches per
    step. ema: decay of the averaged weights, which are saved for inference. slow: name prefix of parameters -> factor
    of their learning rate.
    """

    steps: Annotated[int, Ge(1)] = 100_000
    minutes: Annotated[float, Gt(0)] = float("inf")
    learning_rate: Annotated[float, Gt(0)] = 3e-4
    warmup: Annotated[int, Ge(1)] = 200
    weight_decay: Annotated[float, Ge(0)] = 0.01
    accumulate: Annotated[int, Ge(1)] = 1
    ema: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    clip_norm: Annotated[float, Gt(0)] = 1.0
    checkpoint_seconds: Annotated[float, Ge(0)] = 120.0
    log_every: Annotated[int, Ge(1)] = 50
    bf16: bool = True
    slow: dict[str, float] = field(default_factory=dict)


class _Objective(nn.Module):
    """Model and loss as one module, so that distributed training averages the gradients of the whole computation."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        return self.loss(self.model, batch, generator)


def fit(
    model: nn.Module,
    draw: Draw,
    loss: Loss,
    config: TrainerConfig,
    out: Path,
    seed: int = 0,
    validate: Validate | None = None,
) -> nn.Module:
    """Train ``model`` and return its EMA copy.

    draw: makes a batch from a generator. loss: (model, batch, generator for its own noise) -> named scalars;
    ``"loss"`` is minimised, all are logged. validate: called with the EMA model and the step at each checkpoint; the
    scalars and pictures (3, H, W) in 0..1 that it returns are logged.
    Writes ``weights.safetensors`` (EMA), ``state.safetensors`` to resume from, and the ``RunLog`` into ``out``.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    # accelerate keeps one precision per process, so autocast is set here instead.
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=not torch.accelerator.is_available(),  # otherwise CPU processes would not form a group
        gradient_accumulation_steps=config.accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    device = accelerator.device
    native_bf16 = computes_bf16(device)
    if config.bf16 and not native_bf16:
        logger.warning("This %s has no native bf16: training in fp32.", device.type)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and native_bf16)
    make_folder(out)
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = _groups(model, config.slow)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99))
    average = copy.deepcopy(model).requires_grad_(False).eval().to(device)
    step, resumed_seconds = resume(model, average, optimizer, out)
    objective, optimizer = accelerator.prepare(_Objective(model.train(), loss), optimizer)
    started = saved = time.monotonic()
    log = RunLog(out, step) if accelerator.is_main_process else None
    means = Means()

    def elapsed() -> float:
        return resumed_seconds + time.monotonic() - started

    def checkpoint() -> None:
        if log is None:
            return
        save(model, average, optimizer, step, elapsed(), out)
        if validate is not None:
            log.validation(step, validate(average, step))

    def progress() -> float:
        # The preparation must not count at the first step: a run that its steps end would begin at another learning
        # rate each time, if only by the last bit.
        return max(step / config.steps, elapsed() / 60 / config.minutes) if step else 0.0

    while (done := _shared_progress(progress(), accelerator)) < 1:
        factor = rate(step, done, config.warmup)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * group["lr_factor"] * factor
        for number in range(config.accumulate):
            generator_seed, global_seed = step_seeds(seed, accelerator.process_index, step, number)
            torch.manual_seed(global_seed)  # seeds dropout layers
            generator = Generator().manual_seed(generator_seed)
            batch = {name: tensor.to(device) for name, tensor in draw(generator).items()}
            with accelerator.accumulate(objective), precision, _attention(device):
                losses = objective(batch, generator)
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(trainable, config.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
            means.add(losses)
        step += 1
        update_average(average, model, min(config.ema, (1 + step) / (10 + step)))
        if step % config.log_every == 0:
            mean_losses = means.take()
            if log is not None:
                log.losses(step, elapsed(), config.learning_rate * factor, mean_losses)
        if time.monotonic() - saved > config.checkpoint_seconds:
            checkpoint()
            saved = time.monotonic()
    checkpoint()
    if log is not None:
        log.close()
    accelerator.wait_for_everyone()
    return average


def step_seeds(seed: int, process: int, step: int, number: int) -> list[int]:
    """Return two 32-bit seeds for one batch: for its generator and for torch's global one."""
    return np.random.SeedSequence((seed, process, step, number)).generate_state(2).tolist()


def _shared_progress(done: float, accelerator: Any) -> float:
    """Broadcast the main process's progress: all processes must use the same learning rate and end at the same step."""
    if accelerator.num_processes == 1:
        return done
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(done, dtype=torch.double, device=accelerator.device)))


def _groups(model: nn.Module, slow: dict[str, float]) -> list[dict[str, Any]]:
    """Group the trainable parameters by the factor of their learning rate."""
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((factor for prefix, factor in slow.items() if name.startswith(prefix)), 1.0)
            by_factor.setdefault(factor, []).append(parameter)
    return [{"params": parameters, "lr_factor": factor} for factor, parameters in by_factor.items()]


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Use the math kernel on CPUs: the fused one has a slow backward pass with few keys, as small models have."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def rate(step: int, done: float, warmup: int) -> float:
    """Learning rate factor: linear warm-up times a half cosine from 1 to 0.02 over the progress ``done`` in 0..1."""
    return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the EMA weights towards the current ones by ``1 - decay``."""
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value.to(mean), 1 - decay)
        else:
            mean.copy_(value)


def stacked(samples: Iterable[Batch]) -> Batch:
    """Stack samples with the same keys into one batch."""
    samples = list(samples)
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
