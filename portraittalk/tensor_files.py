"""Read and write safetensors files, check their tensors against a module, and load them into it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .checks import first_line, shown
from .config import rebuilt
from .errors import OutputError, WeightsError
from .output_files import atomic_file, check_file, check_outputs, check_space, explained

C = TypeVar("C")
N = TypeVar("N", bound=nn.Module)

SUFFIX = ".safetensors"
COPIED = 2**30
_NAMED_KEYS = 3  # keys listed in an error message
# Beginnings of the parts of an error message about keys or shapes; each is followed by the keys.
MISSING, UNEXPECTED, MISSHAPED = "misses keys:", "has unexpected keys:", "has the wrong shape in"


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a safetensors file. Raises WeightsError if it is missing, corrupt or
    pickled.

    Tensors of files up to ``COPIED`` bytes are copies. Those of larger ones lie in a mapping of the file, whose pages
    the system can take back; it must not be overwritten in place, since reading beyond its new end ends the process.
    """
    with _open(path) as file:
        copied = path.stat().st_size <= COPIED
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return file.metadata() or {}, {key: value.clone() for key, value in tensors.items()} if copied else tensors


def read_shapes(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Like ``read_tensors``, but with tensors on the meta device: only the header of the file is read."""
    with _open(path) as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        return file.metadata() or {}, {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def check_tensor_file(path: Path, inputs: Iterable[Path] = (), needed: int = 0) -> None:
    """Raise OutputError, before long work, if a safetensors file could not be written or is an input.

    needed: its size in bytes, if that is known.
    """
    if path.suffix != SUFFIX:
        raise OutputError(f"{path} cannot be written: choose a file name that ends in {SUFFIX}.")
    check_outputs([path], inputs)
    check_file(path, needed)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors of any device and memory layout to a safetensors file, atomically.

    Raises OutputError if the file cannot be written, before it is begun if the disk has too little space.
    """
    check_space(path, sum(tensor.nbytes for tensor in tensors.values()))
    packed = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_file(path) as part, explained(path):
        try:
            save_file(_unshared(packed), part, metadata)
        except SafetensorError as error:  # it hides the error of the operating system in its text
            if number := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(number.group(1)), str(error)) from error
            raise OutputError(f"{path} cannot be written: {error}.") from error


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


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share their memory with another, which the format does not allow."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return result


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a module, which may be on the meta device. Raises WeightsError if keys or shapes differ.

    where: name of the file, for the error message.
    """
    check_tensors(module.state_dict(), tensors, where)
    module.load_state_dict(dict(tensors), assign=True)


def load_into(module: nn.Module, path: Path) -> None:
    """Copy the tensors of a safetensors file into a module. Raises WeightsError like ``read_tensors`` and ``fill``."""
    tensors = read_tensors(path)[1]
    check_tensors(module.state_dict(), tensors, path.name)
    module.load_state_dict(tensors)


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
    named = [key if key.isprintable() else shown(key) for key in keys[:_NAMED_KEYS]]
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def load_configured(path: Path, form: str, what: str, config_class: type[C], build: Callable[[C], N]) -> N:
    """Load networks from a file of ``save_configured`` in single precision, with ``build`` of the configuration in it.

    form: the format noted in the file. what: the file should hold weights of, for errors. Raises WeightsError.
    """
    header, tensors = read_tensors(path)
    if header.get("format") != form:
        raise WeightsError(f"{path.name} does not contain weights of {what}: choose another file.")
    try:
        config = rebuilt(config_class, json.loads(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} is for another version of PortraitTalk ({first_line(error)}): get the file for this version."
        ) from error
    with torch.device("meta"):
        networks = build(config)
    fill(networks, tensors, path.name)
    return networks.float().eval().requires_grad_(False)


def save_configured(path: Path, form: str, networks: nn.Module, config: Any) -> None:
    """Write networks in half precision, with a format and the configuration, a dataclass."""
    state: dict[str, Tensor] = networks.state_dict()
    tensors = {name: x.half() if x.is_floating_point() else x for name, x in state.items()}
    write_tensors(path, tensors, {"format": form, "config": json.dumps(asdict(config))})
