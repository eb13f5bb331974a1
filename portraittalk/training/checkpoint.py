"""Checkpoints to resume a run: weights, their EMA, the optimizer's moments, the step and the elapsed time."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..tensor_files import check_tensors, read_tensors, write_tensors

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
    write_tensors(out / "state.safetensors", state)
    write_tensors(out / "weights.safetensors", average.state_dict())


def resume(model: nn.Module, average: nn.Module, optimizer: Any, out: Path) -> tuple[int, float]:
    """Load the state in ``out`` into the arguments; return the step and the seconds trained (0, 0 if there is none).

    Raises WeightsError if the state is damaged or of another network.
    """
    path = out / "state.safetensors"
    if not path.exists():
        return 0, 0.0
    tensors = read_tensors(path)[1]
    for network, prefix in ((model, "model."), (average, "average.")):
        state = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        check_tensors(network.state_dict(), state, f"{path}, from which the run resumes,")
        network.load_state_dict(state)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    step, seconds = int(tensors["step"]), float(tensors["seconds"])
    logger.info("resumed at step %d, after %.0f s", step, seconds)
    return step, seconds
