"""Convert public checkpoints to one PortraitTalk file. Every key has to match before the file is written."""

import hashlib
import logging
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..tensor_files import (
    MISSHAPED,
    MISSING,
    SUFFIX,
    UNEXPECTED,
    check_tensor_file,
    mismatch_message,
    read_tensors,
    write_tensors,
)
from .files import BUILT_IN, find_weights
from .layout import SHIPPED, Layout, Rule, Source
from .layouts import FAST_DECODER, LAYOUTS, LCM_LORA, with_fast_decoder, with_few_steps
from .load import save_weights
from .lora import merged
from .networks import KEYPOINTS, empty_networks

POSITIONS = "pos_embed.pe"  # positional encodings: computed, not trained, so a file may omit them
STATE_DICT_KEYS = ("model_state_dict", "state_dict")  # keys of the state dict in OpenAI's Whisper and AnimateDiff files
V_PREDICTION = "v_pred"  # key that marks checkpoints that predict velocity

logger = logging.getLogger(__name__)


def convert(layout: Layout, files: Mapping[str, Path], out: Path) -> None:
    """Convert a public checkpoint (name in the layout -> file) to one PortraitTalk file, in half precision, except for
    networks whose results are keypoints.

    Optional files: "taesd", and "lcm_lora" for models that predict noise.
    Raises WeightsError if a file is missing or cannot be read, if keys are missing, unexpected or of the wrong shape
    (the message names a few, the log all of them), or if files are for different training targets; OutputError, before
    files are read, if ``out`` cannot be written or is one of them.
    """
    layout = extended(layout, files)
    networks = empty_networks(layout.config)
    values = sum(value.numel() for network in networks.values() for value in network.state_dict().values())
    check_tensor_file(out, files.values(), values * torch.half.itemsize)
    states = gathered(layout, {name: read_public(path) for name, path in files.items()}, networks)
    parts = {
        network: state if network in KEYPOINTS else {key: half(value) for key, value in state.items()}
        for network, state in states.items()
    }
    save_weights(out, layout.config, parts)


def extended(layout: Layout, files: Collection[str]) -> Layout:
    """Return the layout extended by the optional files among ``files``. Raises WeightsError if files are missing,
    unexpected or for another training target."""
    for name in files:
        check_prediction(layout, name)
    if FAST_DECODER.files[0] in files:
        layout = with_fast_decoder(layout)
    few_steps = LCM_LORA in files and layout.config.animate_net.prediction == "epsilon"
    needed = {*layout.files, LCM_LORA} if few_steps else {*layout.files}
    if set(files) != needed:
        raise WeightsError(
            f"The layout '{layout.config.name}' needs the files {', '.join(layout.files)}; "
            f"these were given: {', '.join(files) or 'none'}."
        )
    return with_few_steps(layout) if few_steps else layout


def check_prediction(layout: Layout, file: str) -> None:
    """Raise WeightsError if a file (by its name in a layout) is only for denoisers with another training target."""
    predicts = layout.config.animate_net.prediction
    targets = {
        source.prediction
        for other in LAYOUTS.values()
        for source in other.sources
        if file in source.files and source.prediction
    }
    targets |= {"epsilon"} if file == LCM_LORA else set()
    if targets and predicts not in targets:
        raise WeightsError(_wrong_prediction(file, targets.pop(), layout.config.name, predicts))


def gathered(
    layout: Layout, tensors: Mapping[str, Mapping[str, Tensor]], networks: Mapping[str, nn.Module]
) -> dict[str, dict[str, Tensor]]:
    """Return the state dicts of our networks from public tensors (file -> key -> tensor) and the shipped model.

    A LoRA is merged. networks: may be on the meta device. Raises WeightsError if training targets, keys or shapes do
    not match.
    """
    predicts = layout.config.animate_net.prediction
    for source in layout.sources:
        if source.prediction not in ("", predicts):
            raise WeightsError(_wrong_prediction(source.files[0], source.prediction, layout.config.name, predicts))
    for file, state in tensors.items():
        if V_PREDICTION in state and predicts != "velocity":
            raise WeightsError(_wrong_prediction(file, "velocity", layout.config.name, predicts))
    sources = {**tensors}
    if any(SHIPPED in source.files for source in layout.sources):
        sources[SHIPPED] = read_tensors(find_weights(BUILT_IN))[1]
    states = mapped(layout, networks, sources)
    if LCM_LORA in tensors:
        unet = {
            key.removeprefix("unet."): value for key, value in states["animate_net"].items() if key.startswith("unet.")
        }
        states["animate_net"] |= {f"unet.{key}": value for key, value in merged(unet, tensors[LCM_LORA]).items()}
    return states


def _wrong_prediction(file: str, target: str, layout: str, predicts: str) -> str:
    names = {"epsilon": "noise (epsilon)", "velocity": "velocity (v-prediction)"}
    return (
        f"'{file}' has weights for a denoiser that predicts {names[target]}, but '{layout}' predicts "
        f"{names[predicts]}: combined they would only produce noise; choose weights made for '{layout}'."
    )


def converted_name(model: str, files: Mapping[str, Path]) -> str:
    """Return a file name that depends on the names and sizes of the files, so that they are converted only once."""
    parts = [f"{role} {path.name} {path.stat().st_size}" for role, path in sorted(files.items())]
    return f"{model}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}{SUFFIX}"


def to_safetensors(path: Path, out: Path) -> None:
    """Convert a pickled file to a safetensors file with the same tensors.

    Raises WeightsError if it cannot be read, OutputError if the new file cannot be written.
    """
    check_tensor_file(out, [path])
    write_tensors(out, read_public(path))


def layout_named(name: str) -> Layout:
    """Return the layout of this name. Raises WeightsError if it is unknown."""
    if name not in LAYOUTS:
        raise WeightsError(f"There is no layout named '{name}'; available layouts: {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def mapped(
    layout: Layout, networks: Mapping[str, nn.Module], tensors: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """Map public tensors (file -> key -> tensor) to state dicts of our networks (name -> key -> tensor).

    networks: may be on the meta device. Raises WeightsError, with the names of the keys, if they do not match.
    """
    ours = {f"{name}.{key}": value for name, module in networks.items() for key, value in module.state_dict().items()}
    states: dict[str, dict[str, Tensor]] = {name: {} for name in networks}
    messages: list[str] = []
    for files in dict.fromkeys(source.files for source in layout.sources):
        public = {key: value for file in files for key, value in tensors[file].items()}
        sources = [source for source in layout.sources if source.files == files]
        for source in sources:
            public = split_fused(public, source)
        public = without_spectral_norm(public)
        matched, mismatches = _match_keys(sources, ours, public)
        where = " and ".join(files)
        for kind, keys in mismatches.items():
            for key in keys:
                logger.error("%s %s %s", where, kind, key)
        if any(mismatches.values()):
            messages.append(mismatch_message(where, mismatches))
        for key, value in matched.items():
            network, _, rest = key.partition(".")
            states[network][rest] = value
    if messages:
        raise WeightsError(" ".join(messages))
    return states


def _match_keys(
    sources: Iterable[Source], ours: Mapping[str, Tensor], public: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Match our keys with the public tensors of sources that share their files.

    Returns our key -> public tensor, and the mismatches: kind -> public keys.
    """
    from diffusers.models.embeddings import SinusoidalPositionalEmbedding

    matched: dict[str, Tensor] = {}
    mismatches: dict[str, list[str]] = {MISSING: [], UNEXPECTED: [], MISSHAPED: []}
    used: set[str] = set()
    for source in sources:
        used.update(key for key in public if re.match(source.ignored, key))
        for key, target in ours.items():
            if not (key.startswith(source.ours) and re.match(source.only, key.removeprefix(source.ours))):
                continue
            names = public_names(source, key)
            present = [name for name in names if name in public]
            used.update(present)
            if present and public[present[0]].shape == target.shape:
                matched[key] = public[present[0]]
            elif present and public[present[0]].shape == (*target.shape, 1, 1):  # linear, published as 1x1 convolution
                matched[key] = public[present[0]].flatten(1)
            elif present:
                shapes = f"{tuple(public[present[0]].shape)} instead of {tuple(target.shape)}"
                mismatches[MISSHAPED].append(f"{present[0]} {shapes}")
            elif key.endswith(POSITIONS):
                matched[key] = SinusoidalPositionalEmbedding(target.shape[2], target.shape[1]).pe
            else:
                mismatches[MISSING].append(names[0])
    mismatches[UNEXPECTED] = [key for key in public if key not in used]
    return matched, mismatches


def public_names(source: Source, key: str) -> list[str]:
    """Return the names that our key may have in the public file, the usual one first."""
    name = _renamed(source.theirs + key.removeprefix(source.ours), source.rules)
    return list(dict.fromkeys((name, *(_renamed(name, rules) for rules in source.others))))


def split_fused(tensors: Mapping[str, Tensor], source: Source) -> dict[str, Tensor]:
    """Return the tensors with those matched by ``source.fused`` split along the first dimension."""
    parts: dict[str, Tensor] = {}
    for key, value in tensors.items():
        names = [
            [re.sub(pattern, replacement, key) for replacement in replacements]
            for pattern, replacements in source.fused
            if re.search(pattern, key)
        ]
        parts |= dict(zip(names[0], value.chunk(len(names[0])), strict=True)) if names else {key: value}
    return parts


def without_spectral_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with ``weight_orig``, ``weight_u`` and ``weight_v`` of a layer replaced by its ``weight``.

    Spectral norm divides a weight by its largest singular value, which training has estimated with the vectors u and v.
    """
    folded = {**tensors}
    for key in tensors:
        name = key.removesuffix("_orig")
        left, right = f"{name}_u", f"{name}_v"
        if key != name and left in tensors and right in tensors:
            weight = folded.pop(key)
            folded[name] = weight / (folded.pop(left) @ (weight.flatten(1) @ folded.pop(right)))
    return folded


def _renamed(name: str, rules: Iterable[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def read_public(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file or of a pickled one (.pth, .pt, .bin), without running pickled code.

    Raises WeightsError if the file is missing, damaged, or holds anything but tensors.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)[1]
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}.")
    try:
        zipped = zipfile.is_zipfile(path)  # torch's format since 1.6, which can be memory-mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # anything, as the bytes of the file are commands of the unpickler
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{path.name} is damaged or contains more than tensors ({first}); download it again."
        ) from error
    if isinstance(state, dict):
        state = next((state[key] for key in STATE_DICT_KEYS if isinstance(state.get(key), dict)), state)
        state = flattened(state)
    if not (isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightsError(f"{path.name} does not contain a state dict of tensors; choose a weights file.")
    return state


def flattened(state: Mapping[str, object]) -> dict[str, object]:
    """Flatten nested dictionaries, as in pickled IP-Adapters, and remove the "module." prefix of DataParallel.

    Numbers and names beside tensors, such as that of the epoch, are left out.
    """
    flat: dict[str, object] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": one for inner, one in flattened(value).items()}
        elif not isinstance(value, (int, float, str, type(None))):
            flat[key] = value
    prefixed = all(key.startswith("module.") for key in flat)
    return {key.removeprefix("module."): value for key, value in flat.items()} if prefixed else flat


def half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value
