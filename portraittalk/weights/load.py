"""Read and write PortraitTalk weights: one safetensors file with all networks, and the configuration in its header."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checks import first_line
from ..config import PortraitTalkConfig
from ..errors import WeightsError
from ..tensor_files import check_tensor_file, check_tensors, fill, listed, read_shapes, read_tensors, write_tensors
from .networks import build_networks, empty_networks

FORMAT = "portraittalk"

logger = logging.getLogger(__name__)


def load_networks(path: Path) -> tuple[PortraitTalkConfig, dict[str, nn.Module]]:
    """Return the configuration and the networks of a PortraitTalk file, on the CPU and in the precision of the file.

    Raises WeightsError if the file is missing, corrupt, not a PortraitTalk file, or does not fit its own header.
    """
    config, tensors = read_weights(path)
    try:
        with torch.device("meta"):
            networks = build_networks(config)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} describes networks that cannot be built ({first_line(error)}); use another file."
        ) from error
    unexpected = [key for key in tensors if key.partition(".")[0] not in networks]
    if unexpected:
        raise WeightsError(
            f"{path.name} has unexpected keys: {listed(unexpected)}. "
            "The file does not fit this version of PortraitTalk."
        )
    for name, module in networks.items():
        fill(module, _under(name, tensors), f"{path.name}: {name}")
    logger.info("Loaded %s from %s", config.name, path)
    return config, networks


def read_config(path: Path) -> PortraitTalkConfig:
    """Return the configuration without reading the weights. Raises WeightsError like ``load_networks``."""
    return config_in(read_shapes(path)[0], path)


def read_weights(path: Path) -> tuple[PortraitTalkConfig, dict[str, Tensor]]:
    """Return the configuration and the tensors of a PortraitTalk file. Raises WeightsError like ``read_config``."""
    header, tensors = read_tensors(path)
    return config_in(header, path), tensors


def config_in(header: Mapping[str, str], path: Path) -> PortraitTalkConfig:
    """Return the configuration in the header of ``path``. Raises WeightsError if it has none for this version."""
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path.name} is not a file of PortraitTalk weights; choose another file.")
    try:
        return PortraitTalkConfig.from_dict(json.loads(header["portraittalk_config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} was made by another version of PortraitTalk ({first_line(error)}); use a file for this "
            "version."
        ) from error


def save_weights(path: Path, config: PortraitTalkConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the state dicts of all networks, by name, to one file, atomically.

    Raises WeightsError if a network is missing or does not fit ``config``, OutputError if the file cannot be written.
    """
    networks = empty_networks(config)
    if set(parts) != set(networks):
        raise WeightsError(
            f"A model consists of the parts {', '.join(networks)}; these were given: {', '.join(parts)}."
        )
    for name, module in networks.items():
        check_tensors(module.state_dict(), parts[name], name)
    tensors = {f"{part}.{key}": value for part, state in parts.items() for key, value in state.items()}
    header = {"format": FORMAT, "portraittalk_config": json.dumps(config.to_dict())}
    write_tensors(path, tensors, header)


def pack(path: Path, config: PortraitTalkConfig, files: Mapping[str, Path]) -> None:
    """Join separately trained networks (name -> file) into one file, in half precision.

    Of a file with several networks, as a training stage writes it, only the keys prefixed with the name are used.
    Raises WeightsError for files that do not fit, OutputError if ``path`` cannot be written or is one of them.
    """
    check_tensor_file(path, files.values())
    networks = empty_networks(config)
    parts = {}
    for name, file in files.items():
        tensors = read_tensors(file)[1]
        own = _under(name, tensors) or tensors
        check_tensors(networks[name].state_dict(), own, f"{file}, given as {name},")
        parts[name] = {key: value.half() if value.is_floating_point() else value for key, value in own.items()}
    save_weights(path, config, parts)


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose keys begin with ``name.``, with that prefix removed."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
