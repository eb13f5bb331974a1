"""One safetensors file holds all networks of a PortraitTalk; its header says how they are built."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..errors import WeightsError
from .files import BUILT_IN, SUFFIX, find_weights
from .model import Model, build_model

FORMAT = "portraittalk"
_NAMED_KEYS = 3  # how many keys of a file that does not fit are named in the message

logger = logging.getLogger(__name__)


def load_model(
    name_or_path: str | Path = BUILT_IN,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    folders: Sequence[Path] = (),
) -> Model:
    """A model by its name (str: one that ships, or a file of ``folders``) or from a file (Path), in evaluation mode.

    Raises WeightsError where the file is missing, corrupt, made for something else, or does not fit its own header.
    """
    path = find_weights(name_or_path, folders) if isinstance(name_or_path, str) else name_or_path
    config, tensors = read_weights(path)
    with torch.device("meta"):
        model = build_model(config)
    for name, module in model.modules().items():
        part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        _fill(module, part, f"{path.name}: {name}")
        module.to(device=device, dtype=dtype).eval().requires_grad_(False)
    logger.info("Loaded %s from %s", config.name, path)
    return model


def read_weights(path: Path) -> tuple[PortraitTalkConfig, dict[str, Tensor]]:
    """The configuration and the tensors of a PortraitTalk file. Raises WeightsError as ``load_model`` does."""
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}.")
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path.name} is not a {SUFFIX} file; weights in other formats are not opened.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise WeightsError(f"{path.name} holds weights of something else than PortraitTalk; choose another file.")
            config = PortraitTalkConfig.from_dict(json.loads(header["portraittalk_config"]))
            return config, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118: not a dict
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is damaged or not a {SUFFIX} file ({error}); get it again.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name} was written by another version of PortraitTalk: {error}.") from error


def save_weights(path: Path, config: PortraitTalkConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Packs the state of all parts (name -> state dict) into one file; the file appears only when it is complete."""
    names = [f.name for f in fields(Model) if f.name != "config"]
    if set(parts) != set(names):
        raise WeightsError(f"A model needs the parts {', '.join(names)}; got {', '.join(sorted(parts))}.")
    tensors = {f"{part}.{key}": value.contiguous() for part, state in parts.items() for key, value in state.items()}
    header = {"format": FORMAT, "portraittalk_config": json.dumps(config.to_dict())}
    unfinished = path.with_suffix(".part")
    try:
        save_file(tensors, unfinished, header)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _fill(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Gives a module on the meta device its tensors. Raises WeightsError that names the keys that do not fit."""
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in tensors]
    unexpected = [key for key in tensors if key not in wanted]
    misshaped = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    faults = {"lacks": missing, "has the unknown": unexpected, "has the wrong shape in": misshaped}
    told = [f"{fault} {_listed(keys)}" for fault, keys in faults.items() if keys]
    if told:
        raise WeightsError(f"{where} {'; '.join(told)}: the file does not fit this version of PortraitTalk.")
    module.load_state_dict(tensors, assign=True)


def _listed(keys: list[str]) -> str:
    more = len(keys) - _NAMED_KEYS
    return ", ".join(keys[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")
