"""Public checkpoints to one file of ours: every key is accounted for, by its public name, before a file is written."""

import logging
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from ..errors import WeightsError
from .layouts import FAST_DECODER, LAYOUTS, Layout, Rule, Source, with_fast_decoder
from .load import read_tensors, save_weights, unfit
from .model import networks_of

POSITIONS = "pos_embed.pe"  # computed, not trained: a file may lack them

logger = logging.getLogger(__name__)


def convert(layout: Layout, files: Mapping[str, Path], out: Path) -> None:
    """The public checkpoint ``files`` (name in the layout -> file) as one PortraitTalk file, in half precision.

    Raises WeightsError where a file is missing or cannot be read, and where one lacks a key, holds one that nothing
    asks for, or one of another shape; these are named, all of them in the log. A file "taesd" may be given as well.
    """
    if FAST_DECODER.files[0] in files:
        layout = with_fast_decoder(layout)
    if set(files) != set(layout.files):
        raise WeightsError(
            f"The layout '{layout.config.name}' is made of the files {', '.join(layout.files)}; "
            f"given were {', '.join(files) or 'none'}."
        )
    with torch.device("meta"):
        wanted = networks_of(layout.config)
    found = mapped(layout, wanted, {file: read_public(path) for file, path in files.items()})
    parts = {network: {key: half(value) for key, value in state.items()} for network, state in found.items()}
    save_weights(out, layout.config, parts)


def layout_named(name: str) -> Layout:
    """Raises WeightsError for a layout that there is not."""
    if name not in LAYOUTS:
        raise WeightsError(f"There is no layout named '{name}'; there are: {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def mapped(
    layout: Layout, wanted: Mapping[str, nn.Module], tensors: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """Public tensors (file -> key -> tensor) as states of our networks (name -> key -> tensor).

    wanted: the networks, which may be on the meta device. Raises WeightsError that names the keys that do not fit.
    """
    ours = {f"{name}.{key}": value for name, module in wanted.items() for key, value in module.state_dict().items()}
    states: dict[str, dict[str, Tensor]] = {name: {} for name in wanted}
    faults: list[str] = []
    for files in dict.fromkeys(source.files for source in layout.sources):
        given = {key: value for file in files for key, value in tensors[file].items()}
        found, told = _of_files([source for source in layout.sources if source.files == files], ours, given)
        where = " and ".join(files)
        for fault, keys in told.items():
            for key in keys:
                logger.error("%s %s %s", where, fault, key)
        if any(told.values()):
            faults.append(unfit(where, told))
        for key, value in found.items():
            network, _, rest = key.partition(".")
            states[network][rest] = value
    if faults:
        raise WeightsError(" ".join(faults))
    return states


def _of_files(
    sources: Iterable[Source], ours: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Our keys with their public tensors, of sources that share their files, and what does not fit: kind -> keys."""
    found: dict[str, Tensor] = {}
    faults: dict[str, list[str]] = {"lacks": [], "has the unknown": [], "has the wrong shape in": []}
    used: set[str] = set()
    for source in sources:
        used.update(key for key in given if re.match(source.ignored, key))
        for key, place in ours.items():
            if not key.startswith(source.ours):
                continue
            names = public_names(source, key)
            there = [name for name in names if name in given]
            used.update(there)
            if there and given[there[0]].shape == place.shape:
                found[key] = given[there[0]]
            elif there:
                shapes = f"{tuple(given[there[0]].shape)} instead of {tuple(place.shape)}"
                faults["has the wrong shape in"].append(f"{there[0]} {shapes}")
            elif key.endswith(POSITIONS):
                found[key] = SinusoidalPositionalEmbedding(place.shape[2], place.shape[1]).pe
            else:
                faults["lacks"].append(names[0])
    faults["has the unknown"] = [key for key in given if key not in used]
    return found, faults


def public_names(source: Source, key: str) -> list[str]:
    """The names that our key may have in the public file, the usual one first."""
    name = _renamed(source.theirs + key.removeprefix(source.ours), source.rules)
    return list(dict.fromkeys((name, _renamed(name, source.others))))


def _renamed(name: str, rules: Iterable[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def read_public(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a pickled one (.pth, .pt, .bin) of which only tensors are read."""
    if path.suffix == ".safetensors":
        return read_tensors(path)[1]
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        first = str(error).splitlines()[0]
        raise WeightsError(f"{path.name} is damaged, or holds more than tensors ({first}); get it again.") from error
    if isinstance(state, dict):
        state = state.get("model_state_dict", state)  # where OpenAI's Whisper has it
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightsError(f"{path.name} is not a table of tensors by name: it is no weights file of this layout.")
    return state


def half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value
