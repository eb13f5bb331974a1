"""Public checkpoints to one file of ours: every key is accounted for, by its public name, before a file is written."""

import hashlib
import logging
import pickle
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import WeightsError
from ..tensor_files import SUFFIX, read_tensors, unfit
from .files import BUILT_IN, find_weights
from .layout import SHIPPED, Layout, Rule, Source
from .layouts import FAST_DECODER, LAYOUTS, LCM_LORA, with_fast_decoder, with_few_steps
from .load import save_weights
from .lora import merged
from .networks import build_networks

POSITIONS = "pos_embed.pe"  # computed, not trained: a file may lack them
WRAPPINGS = ("model_state_dict", "state_dict")  # where OpenAI's Whisper, and AnimateDiff's training, have the tensors
V_PREDICTION = "v_pred"  # the key by which checkpoints for velocity are marked

logger = logging.getLogger(__name__)


def convert(layout: Layout, files: Mapping[str, Path], out: Path) -> None:
    """The public checkpoint ``files`` (name in the layout -> file) as one PortraitTalk file, in half precision.

    Raises WeightsError where a file is missing or cannot be read, where one lacks a key, holds one that nothing asks
    for, or one of another shape (these are named, all of them in the log), and where files are not of one kind. There
    may be further files: "taesd", and with models that predict noise "lcm_lora".
    """
    layout = extended(layout, files)
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    found = gathered(layout, {name: read_public(path) for name, path in files.items()}, wanted)
    parts = {network: {key: half(value) for key, value in state.items()} for network, state in found.items()}
    save_weights(out, layout.config, parts)


def extended(layout: Layout, files: Collection[str]) -> Layout:
    """The layout with those of the further files that are given. Raises WeightsError unless the files are all there,
    and all of the layout's kind."""
    for name in files:
        check_prediction(layout, name)
    if FAST_DECODER.files[0] in files:
        layout = with_fast_decoder(layout)
    few_steps = LCM_LORA in files and layout.config.animate_net.prediction == "epsilon"
    wanted = {*layout.files, LCM_LORA} if few_steps else {*layout.files}
    if set(files) != wanted:
        raise WeightsError(
            f"The layout '{layout.config.name}' is made of the files {', '.join(layout.files)}; "
            f"given were {', '.join(files) or 'none'}."
        )
    return with_few_steps(layout) if few_steps else layout


def check_prediction(layout: Layout, file: str) -> None:
    """Raises WeightsError for a file that other layouts have, for a denoiser that predicts something else."""
    predicts = layout.config.animate_net.prediction
    meant = {
        source.prediction
        for other in LAYOUTS.values()
        for source in other.sources
        if file in source.files and source.prediction
    }
    meant |= {"epsilon"} if file == LCM_LORA else set()
    if meant and predicts not in meant:
        raise WeightsError(_mixed(file, meant.pop(), layout.config.name, predicts))


def gathered(
    layout: Layout, tensors: Mapping[str, Mapping[str, Tensor]], wanted: Mapping[str, nn.Module]
) -> dict[str, dict[str, Tensor]]:
    """States of our networks of the files' tensors, with what ships, and with a LoRA merged.

    wanted: the networks, which may be on the meta device. Raises WeightsError.
    """
    predicts = layout.config.animate_net.prediction
    for source in layout.sources:
        if source.prediction not in ("", predicts):
            raise WeightsError(_mixed(source.files[0], source.prediction, layout.config.name, predicts))
    for file, state in tensors.items():
        if V_PREDICTION in state and predicts != "velocity":
            raise WeightsError(_mixed(file, "velocity", layout.config.name, predicts))
    given = {**tensors}
    if any(SHIPPED in source.files for source in layout.sources):
        given[SHIPPED] = read_tensors(find_weights(BUILT_IN))[1]
    found = mapped(layout, wanted, given)
    if LCM_LORA in tensors:
        unet = {
            key.removeprefix("unet."): value for key, value in found["animate_net"].items() if key.startswith("unet.")
        }
        found["animate_net"] |= {f"unet.{key}": value for key, value in merged(unet, tensors[LCM_LORA]).items()}
    return found


def _mixed(file: str, meant: str, layout: str, predicts: str) -> str:
    told = {"epsilon": "the noise in a picture", "velocity": "velocity, a mixture of picture and noise"}
    return (
        f"'{file}' holds weights for a denoiser that predicts {told[meant]}, but '{layout}' predicts {told[predicts]}: "
        "what one has learned means nothing to the other, and nothing but noise would come out, so they are not mixed."
    )


def converted_name(model: str, files: Mapping[str, Path]) -> str:
    """What a model made of just these files is called, so that they are converted once: by their names and sizes."""
    parts = [f"{role} {path.name} {path.stat().st_size}" for role, path in sorted(files.items())]
    return f"{model}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}{SUFFIX}"


def to_safetensors(path: Path, out: Path) -> None:
    """A pickled file as a safetensors file of the same tensors. Raises WeightsError as ``convert`` does."""
    state = read_public(path)
    unfinished = out.with_name(out.name + ".part")
    try:
        save_file({key: value.clone().contiguous() for key, value in state.items()}, unfinished)
        unfinished.replace(out)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{out} cannot be written: {error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


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
        sources = [source for source in layout.sources if source.files == files]
        for source in sources:
            given = split(given, source)
        found, told = _of_files(sources, ours, given)
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
            if not (key.startswith(source.ours) and re.match(source.only, key.removeprefix(source.ours))):
                continue
            names = public_names(source, key)
            there = [name for name in names if name in given]
            used.update(there)
            if there and given[there[0]].shape == place.shape:
                found[key] = given[there[0]]
            elif there and given[there[0]].shape == (*place.shape, 1, 1):  # a linear layer, published as a convolution
                found[key] = given[there[0]].flatten(1)
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
    return list(dict.fromkeys((name, *(_renamed(name, rules) for rules in source.others))))


def split(given: Mapping[str, Tensor], source: Source) -> dict[str, Tensor]:
    """The tensors, those that hold several in a row cut into these."""
    parts: dict[str, Tensor] = {}
    for key, value in given.items():
        names = [
            [re.sub(pattern, one, key) for one in ones] for pattern, ones in source.fused if re.search(pattern, key)
        ]
        parts |= dict(zip(names[0], value.chunk(len(names[0])), strict=True)) if names else {key: value}
    return parts


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
        zipped = zipfile.is_zipfile(path)  # as torch has written them since 1.6: these are read as they are needed
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        first = str(error).splitlines()[0]
        raise WeightsError(f"{path.name} is damaged, or holds more than tensors ({first}); get it again.") from error
    if isinstance(state, dict):
        state = next((state[key] for key in WRAPPINGS if isinstance(state.get(key), dict)), state)
        state = unfolded(state)
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightsError(f"{path.name} is not a table of tensors by name: it is no weights file of this layout.")
    return state


def unfolded(state: Mapping[str, object]) -> dict[str, object]:
    """Tables inside of a table as one, as IP-Adapters are pickled, and names without what parallel training adds."""
    flat: dict[str, object] = {}
    for key, value in state.items():
        flat |= {f"{key}.{inner}": one for inner, one in value.items()} if isinstance(value, Mapping) else {key: value}
    wrapped = all(key.startswith("module.") for key in flat)
    return {key.removeprefix("module."): value for key, value in flat.items()} if wrapped else flat


def half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value
