"""One safetensors file holds all networks of a PortraitTalk; its header says how they are built."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..errors import WeightsError
from .files import BUILT_IN, SUFFIX, find_weights
from .model import FACE_MOTION, Model, Networks, PromptModel, ReferenceModel, build, networks_of

FORMAT = "portraittalk"
_NAMED_KEYS = 3  # how many keys of a file that does not fit are named in the message

logger = logging.getLogger(__name__)


def load_model(
    name_or_path: str | Path = BUILT_IN,
    device: torch.device | str = "cpu",
    folders: Sequence[Path] = (),
) -> Model:
    """A model by its name (str: one that ships, or a file of ``folders``) or from a file (Path), in single
    precision and evaluation mode.

    Raises WeightsError where the file is missing, corrupt, made for something else, or does not fit its own header.
    """
    model = load_networks(name_or_path, device, folders)
    if not isinstance(model, Model):
        raise WeightsError(
            f"'{model.config.name}' is made of public weights, which cannot be used here; choose another."
        )
    return model


def load_networks(
    name_or_path: str | Path = BUILT_IN,
    device: torch.device | str = "cpu",
    folders: Sequence[Path] = (),
    dtype: torch.dtype | None = None,
) -> Model | ReferenceModel | PromptModel:
    """As ``load_model``, of any kind: our own, or one converted from public weights, which are large.

    dtype: by default single precision, but for public weights on a GPU half precision.
    """
    path = find_weights(name_or_path, folders) if isinstance(name_or_path, str) else name_or_path
    config, tensors = read_weights(path)
    with torch.device("meta"):
        model = build(config, path.parent)
    networks = model.modules()
    strangers = [key for key in tensors if key.partition(".")[0] not in networks]
    if strangers:
        raise WeightsError(f"{path.name} has the unknown {listed(strangers)}: the file does not fit this version.")
    for name, module in networks.items():
        fill(module, _under(name, tensors), f"{path.name}: {name}")
    settle(model, device, dtype)
    logger.info("Loaded %s from %s", config.name, path)
    return model


def settle(model: Networks, device: torch.device | str, dtype: torch.dtype | None = None) -> None:
    """Puts filled networks to where they run, in evaluation mode. dtype: as ``load_networks`` has it.

    What moves landmarks, and is no larger than in ``mini``, stays in single precision.
    """
    if dtype is None:
        small = isinstance(model, Model) or torch.device(device).type == "cpu"
        dtype = torch.float32 if small else torch.float16
    for name, module in model.modules().items():
        own = torch.float32 if not isinstance(model, Model) and name in FACE_MOTION else dtype
        module.to(device, own).eval().requires_grad_(False)


def read_config(path: Path) -> PortraitTalkConfig:
    """The configuration alone, without reading the weights. Raises WeightsError as ``load_model`` does."""
    return config_in(read_shapes(path)[0], path)


def read_weights(path: Path) -> tuple[PortraitTalkConfig, dict[str, Tensor]]:
    """The configuration and the tensors of a PortraitTalk file. Raises WeightsError as ``load_model`` does."""
    header, tensors = read_tensors(path)
    return config_in(header, path), tensors


def config_in(header: Mapping[str, str], path: Path) -> PortraitTalkConfig:
    """The configuration that the header of ``path`` holds. Raises WeightsError where it holds none for this version."""
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path.name} holds weights of something else than PortraitTalk; choose another file.")
    try:
        return PortraitTalkConfig.from_dict(json.loads(header["portraittalk_config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name} is of another version of PortraitTalk ({error}); get one for this.") from error


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


def save_weights(path: Path, config: PortraitTalkConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Writes the state of all networks (name -> state dict) as one file, which appears only when it is complete.

    Raises WeightsError where a network is missing or does not fit ``config``, or the file cannot be written.
    """
    with torch.device("meta"):
        wanted = networks_of(config)
    if set(parts) != set(wanted):
        raise WeightsError(f"A model needs the parts {', '.join(wanted)}; given were {', '.join(parts)}.")
    for name, module in wanted.items():
        _check(module, parts[name], name)
    tensors = {f"{part}.{key}": value.contiguous() for part, state in parts.items() for key, value in state.items()}
    header = {"format": FORMAT, "portraittalk_config": json.dumps(config.to_dict())}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file(tensors, unfinished, header)
        unfinished.replace(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be written: {error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def pack(path: Path, config: PortraitTalkConfig, files: Mapping[str, Path]) -> None:
    """Joins the trained networks of several files (name -> file) into one, in half precision. Raises WeightsError.

    Where a file holds several networks, as a training stage writes them, only the keys under the name's prefix count.
    """
    parts = {}
    for name, file in files.items():
        tensors = read_tensors(file)[1]
        own = _under(name, tensors) or tensors
        parts[name] = {key: value.half() if value.is_floating_point() else value for key, value in own.items()}
    save_weights(path, config, parts)


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose keys begin with ``name.``, without it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Gives a module, which may be on the meta device, its weights. Raises WeightsError where they do not fit it."""
    _check(module, tensors, where)
    module.load_state_dict(dict(tensors), assign=True)


def _check(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    check_tensors(module.state_dict(), tensors, where)


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
