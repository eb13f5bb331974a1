"""Safetensors files: read, checked against the module they are meant for, and loaded into it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .errors import WeightsError

SUFFIX = ".safetensors"
_NAMED_KEYS = 3  # how many keys of a file that does not fit are named in the message


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header and the tensors of any safetensors file. Raises WeightsError: missing, corrupt or pickled."""
    with _opened(path) as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def read_shapes(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """As ``read_tensors``, the tensors on the meta device: of a large file only its beginning is read."""
    with _opened(path) as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        return file.metadata() or {}, {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}.")
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path.name} is not a {SUFFIX} file; weights in other formats are not opened.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is damaged or not a {SUFFIX} file ({error}); get it again.") from error


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Gives a module, which may be on the meta device, its weights. Raises WeightsError where they do not fit it."""
    check_tensors(module.state_dict(), tensors, where)
    module.load_state_dict(dict(tensors), assign=True)


def check_tensors(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str) -> None:
    """Raises WeightsError that names the keys by which the tensors are not the wanted ones."""
    misshaped = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    faults = {
        "lacks": [key for key in wanted if key not in tensors],
        "has the unknown": [key for key in tensors if key not in wanted],
        "has the wrong shape in": misshaped,
    }
    if any(faults.values()):
        raise WeightsError(unfit(where, faults))


def unfit(where: str, faults: Mapping[str, list[str]]) -> str:
    """The sentence that names what does not fit: kind of fault -> keys."""
    told = [f"{fault} {listed(keys)}" for fault, keys in faults.items() if keys]
    return f"{where} {'; '.join(told)}: the file does not fit this version of PortraitTalk."


def listed(keys: list[str]) -> str:
    """Some of the keys, and how many more there are."""
    more = len(keys) - _NAMED_KEYS
    return ", ".join(keys[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")
