"""One safetensors file holds all networks of a PortraitTalk; its header says how they are built."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import PortraitTalkConfig
from ..errors import WeightsError
from ..tensor_files import check_tensors, fill, listed, read_shapes, read_tensors
from .networks import build_networks

FORMAT = "portraittalk"

logger = logging.getLogger(__name__)


def load_networks(path: Path) -> tuple[PortraitTalkConfig, dict[str, nn.Module]]:
    """The configuration and the networks that a PortraitTalk file holds, on the CPU, as the file has them.

    Raises WeightsError where the file is missing, corrupt, made for something else, or does not fit its own header.
    """
    config, tensors = read_weights(path)
    with torch.device("meta"):
        networks = build_networks(config)
    unexpected = [key for key in tensors if key.partition(".")[0] not in networks]
    if unexpected:
        raise WeightsError(f"{path.name} has unexpected keys: {listed(unexpected)}. It does not fit this version.")
    for name, module in networks.items():
        fill(module, _under(name, tensors), f"{path.name}: {name}")
    logger.info("Loaded %s from %s", config.name, path)
    return config, networks


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


def save_weights(path: Path, config: PortraitTalkConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Writes the state of all networks (name -> state dict) as one file, which appears only when it is complete.

    Raises WeightsError where a network is missing or does not fit ``config``, or the file cannot be written.
    """
    with torch.device("meta"):
        wanted = build_networks(config)
    if set(parts) != set(wanted):
        raise WeightsError(f"A model needs the parts {', '.join(wanted)}; given were {', '.join(parts)}.")
    for name, module in wanted.items():
        check_tensors(module.state_dict(), parts[name], name)
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
