"""Read safetensors files, check their tensors against a module, and load them into it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .checks import first_line
from .errors import WeightsError

SUFFIX = ".safetensors"
_NAMED_KEYS = 3  # keys listed in an error message
# Beginnings of the parts of an error message about keys or shapes; each is followed by the keys.
MISSING, UNEXPECTED, MISSHAPED = "misses keys:", "has unexpected keys:", "has the wrong shape in"


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a safetensors file. Raises WeightsError if it is missing, corrupt or
    pickled."""
    with _open(path) as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def read_shapes(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Like ``read_tensors``, but with tensors on the meta device: only the header of the file is read."""
    with _open(path) as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        return file.metadata() or {}, {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}.")
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path.name} is not a {SUFFIX} file, the only format of weights that can be opened here.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path.name} is damaged or not a {SUFFIX} file ({first_line(error)}); download it again."
        ) from error


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a module, which may be on the meta device. Raises WeightsError if keys or shapes differ.

    where: name of the file, for the error message.
    """
    check_tensors(module.state_dict(), tensors, where)
    module.load_state_dict(dict(tensors), assign=True)


def check_tensors(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise WeightsError, with the names of the keys, unless the tensors have the expected keys and shapes."""
    misshaped = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    mismatches = {
        MISSING: [key for key in expected if key not in tensors],
        UNEXPECTED: [key for key in tensors if key not in expected],
        MISSHAPED: misshaped,
    }
    if any(mismatches.values()):
        raise WeightsError(mismatch_message(where, mismatches))


def mismatch_message(where: str, mismatches: Mapping[str, list[str]]) -> str:
    """Return the error message for mismatches: kind (such as ``MISSING``) -> keys."""
    parts = [f"{kind} {listed(keys)}" for kind, keys in mismatches.items() if keys]
    return f"{where} {'; '.join(parts)}. The file does not fit this version of PortraitTalk."


def listed(keys: list[str]) -> str:
    """Return the first keys as text, and how many more there are."""
    more = len(keys) - _NAMED_KEYS
    return ", ".join(keys[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")
