"""Checkpoints to resume a run: weights, their EMA, the optimizer's moments, the step and the elapsed time."""

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def save(model: nn.Module, average: nn.Module, optimizer: Any, step: int, seconds: float, out: Path) -> None:
    """Write ``state.safetensors``, from which ``resume`` restores the run, and ``weights.safetensors``, the EMA weights
    for inference."""
    moments = {
        f"optimizer.{index}.{name}": value
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }
    state = {
        **{f"model.{name}": value for name, value in model.state_dict().items()},
        **{f"average.{name}": value for name, value in average.state_dict().items()},
        **moments,
        "step": torch.tensor(step),
        "seconds": torch.tensor(seconds, dtype=torch.double),
    }
    _write(out / "state.safetensors", state)
    _write(out / "weights.safetensors", dict(average.state_dict()))


def resume(model: nn.Module, average: nn.Module, optimizer: Any, out: Path) -> tuple[int, float]:
    """Load the state in ``out`` into the arguments; return the step and the seconds trained (0, 0 if there is none)."""
    if not (out / "state.safetensors").exists():
        return 0, 0.0
    tensors = load_file(out / "state.safetensors")
    for network, prefix in ((model, "model."), (average, "average.")):
        network.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    step, seconds = int(tensors["step"]), float(tensors["seconds"])
    logger.info("resumed at step %d, after %.0f s", step, seconds)
    return step, seconds


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    part = path.with_suffix(".part")
    save_file({name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()}, part)
    part.replace(path)
