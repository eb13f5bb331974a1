"""The training loop that all networks share, on accelerate: AdamW, warm-up and cosine, accumulation, EMA, resume."""

import copy
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainerConfig:
    """steps and minutes: a run ends at whichever comes first, and the learning rate falls to zero towards that end.

    bf16: mixed precision. accumulate: batches a step. ema: decay of the averaged weights, which are those that are
    saved for use. slow: factor of the learning rate for parameters whose name begins so.
    """

    steps: int = 100_000
    minutes: float = float("inf")
    learning_rate: float = 3e-4
    warmup: int = 200
    weight_decay: float = 0.01
    accumulate: int = 1
    ema: float = 0.999
    clip_norm: float = 1.0
    checkpoint_seconds: float = 120.0
    log_every: int = 50
    bf16: bool = True
    slow: dict[str, float] = field(default_factory=dict)


def fit(
    model: nn.Module,
    batches: Iterator[dict[str, Tensor]],
    loss: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]],
    config: TrainerConfig,
    out: Path,
    validate: Callable[[nn.Module, int], None] | None = None,
) -> nn.Module:
    """Trains ``model`` and returns its averaged copy.

    ``out`` receives ``weights.safetensors``, averaged, and the state to resume from.
    loss: maps model and batch to named scalars, of which ``"loss"`` is minimised and all are logged.
    validate: called with the averaged model and the step at each checkpoint.
    """
    from accelerate import Accelerator

    # The precision is not accelerate's to choose: it keeps one for the whole process.
    accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=config.accumulate)
    precision = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.bf16)
    out.mkdir(parents=True, exist_ok=True)
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = _groups(model, config.slow)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99))
    average = copy.deepcopy(model).requires_grad_(False).eval().to(accelerator.device)
    step = _resume(model, average, optimizer, out)
    model, optimizer = accelerator.prepare(model.train(), optimizer)
    started = saved = time.monotonic()
    sums: dict[str, float] = {}
    while (done := max(step / config.steps, (time.monotonic() - started) / 60 / config.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * group["pace"] * rate(step, done, config.warmup)
        for _ in range(config.accumulate):
            batch = {name: tensor.to(accelerator.device) for name, tensor in next(batches).items()}
            with accelerator.accumulate(model), precision, _attention(accelerator.device):
                losses = loss(model, batch)
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(trainable, config.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() / config.accumulate
        step += 1
        update_average(average, accelerator.unwrap_model(model), min(config.ema, (1 + step) / (10 + step)))
        if step % config.log_every == 0:
            logger.info("step %d %.0f s  %s", step, time.monotonic() - started, _format(sums, config.log_every))
            sums = {}
        if time.monotonic() - saved > config.checkpoint_seconds and accelerator.is_main_process:
            _save(accelerator.unwrap_model(model), average, optimizer, step, out)
            if validate is not None:
                validate(average, step)
            saved = time.monotonic()
    if accelerator.is_main_process:
        _save(accelerator.unwrap_model(model), average, optimizer, step, out)
        if validate is not None:
            validate(average, step)
    return average


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
    import math

    return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights towards the current ones by ``1 - decay``."""
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value.to(mean), 1 - decay)
        else:
            mean.copy_(value)


def _format(sums: dict[str, float], count: int) -> str:
    return "  ".join(f"{name} {value / count:.5f}" for name, value in sums.items())


def _save(model: nn.Module, average: nn.Module, optimizer: Any, step: int, out: Path) -> None:
    def write(path: Path, tensors: dict[str, Tensor]) -> None:
        part = path.with_suffix(".part")
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, part)
        part.replace(path)

    state = optimizer.state_dict()["state"]
    moments = {f"optimizer.{i}.{name}": value for i, entry in state.items() for name, value in entry.items()}
    current = {f"model.{name}": value for name, value in model.state_dict().items()}
    write(out / "state.safetensors", {**current, **moments, "step": torch.tensor(step)})
    write(out / "weights.safetensors", dict(average.state_dict()))


def _resume(model: nn.Module, average: nn.Module, optimizer: Any, out: Path) -> int:
    if not (out / "state.safetensors").exists():
        return 0
    saved = load_file(out / "state.safetensors")
    model.load_state_dict({n.removeprefix("model."): t for n, t in saved.items() if n.startswith("model.")})
    average.load_state_dict(load_file(out / "weights.safetensors"))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    logger.info("resumed at step %d", int(saved["step"]))
    return int(saved["step"])
