"""The training loop that all networks share, on accelerate: AdamW, warm-up and cosine, accumulation, EMA, resume.

``torchrun`` with several processes runs the same loop: every process draws other batches, gradients are averaged, and
the main one alone writes. Everything random in a step is drawn from what ``step_seeds`` makes of the run's seed, the
process and the step, so that a run that was stopped and goes on ends with the very weights of one that was not.
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

from .checkpoint import resume, save
from .run_log import Means, RunLog

logger = logging.getLogger(__name__)

Batch = dict[str, Tensor]
Draw = Callable[[Generator], Batch]
Loss = Callable[[nn.Module, Batch, Generator], dict[str, Tensor]]
Validate = Callable[[nn.Module, int], dict[str, Tensor]]


@dataclass(frozen=True)
class TrainerConfig:
    """steps and minutes: a run ends at whichever comes first, and the learning rate falls to zero towards that end.

    Minutes count those of a run before it was stopped. bf16: mixed precision, where the device computes in it.
    accumulate: batches a step. ema: decay of the averaged weights, which are those that are saved for use. slow: factor
    of the learning rate for parameters whose name begins so.
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
    """The model with its loss as one module, so that several processes average the gradients of all it does."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        return self.loss(self.model, batch, generator)


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16: a CPU without them takes many times as long as in fp32."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def fit(
    model: nn.Module,
    draw: Draw,
    loss: Loss,
    config: TrainerConfig,
    out: Path,
    seed: int = 0,
    validate: Validate | None = None,
) -> nn.Module:
    """Trains ``model`` and returns its averaged copy.

    draw: makes a batch from a generator. loss: maps model, batch and a generator for its own noise to named scalars,
    of which ``"loss"`` is minimised and all are logged. validate: called with the averaged model and the step at each
    checkpoint; the scalars and the pictures (3, H, W) in 0..1 that it returns are logged too.
    ``out`` receives ``weights.safetensors``, averaged, ``state.safetensors`` to resume from, and what ``RunLog`` says.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    # The precision is not accelerate's to choose: it keeps one for the whole process.
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=not torch.accelerator.is_available(),  # else several processes would not know of each other there
        gradient_accumulation_steps=config.accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    device = accelerator.device
    fast = computes_bf16(device)
    if config.bf16 and not fast:
        logger.warning("This %s does not compute in bf16: the run is in full precision.", device.type)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and fast)
    out.mkdir(parents=True, exist_ok=True)
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = _groups(model, config.slow)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99))
    average = copy.deepcopy(model).requires_grad_(False).eval().to(device)
    step, before = resume(model, average, optimizer, out)
    objective, optimizer = accelerator.prepare(_Objective(model.train(), loss), optimizer)
    started = saved = time.monotonic()
    log = RunLog(out, step) if accelerator.is_main_process else None
    means = Means()

    def elapsed() -> float:
        return before + time.monotonic() - started

    def checkpoint() -> None:
        if log is None:
            return
        save(model, average, optimizer, step, elapsed(), out)
        if validate is not None:
            log.validation(step, validate(average, step))

    while (done := _agreed(max(step / config.steps, elapsed() / 60 / config.minutes), accelerator)) < 1:
        factor = rate(step, done, config.warmup)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * group["pace"] * factor
        for number in range(config.accumulate):
            own, everywhere = step_seeds(seed, accelerator.process_index, step, number)
            torch.manual_seed(everywhere)  # what dropout layers draw from
            generator = Generator().manual_seed(own)
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
            found = means.take()
            if log is not None:
                log.losses(step, elapsed(), config.learning_rate * factor, found)
        if time.monotonic() - saved > config.checkpoint_seconds:
            checkpoint()
            saved = time.monotonic()
    checkpoint()
    if log is not None:
        log.close()
    accelerator.wait_for_everyone()
    return average


def step_seeds(seed: int, process: int, step: int, number: int) -> list[int]:
    """Two seeds of 32 bits for one batch: for its generator, and for torch's own."""
    return np.random.SeedSequence((seed, process, step, number)).generate_state(2).tolist()


def _agreed(done: float, accelerator: Any) -> float:
    """The main process's clock decides for all: they must end at the same step, at the same learning rate."""
    if accelerator.num_processes == 1:
        return done
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(done, dtype=torch.double, device=accelerator.device)))


def _groups(model: nn.Module, slow: dict[str, float]) -> list[dict[str, Any]]:
    """The trainable parameters by the factor of their learning rate."""
    paces: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            pace = next((factor for prefix, factor in slow.items() if name.startswith(prefix)), 1.0)
            paces.setdefault(pace, []).append(parameter)
    return [{"params": parameters, "pace": pace} for pace, parameters in paces.items()]


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """On CPUs the fused kernel is slow backwards where there are but a few keys, as in the branches of small models."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def rate(step: int, done: float, warmup: int) -> float:
    """The learning rate's factor: linear warm-up, then half a cosine from 1 to 0.02 over ``done`` in 0..1."""
    return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights towards the current ones by ``1 - decay``."""
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value.to(mean), 1 - decay)
        else:
            mean.copy_(value)


def stacked(samples: Iterable[Batch]) -> Batch:
    """Samples of the same keys -> one batch."""
    every = list(samples)
    return {name: torch.stack([sample[name] for sample in every]) for name in every[0]}
