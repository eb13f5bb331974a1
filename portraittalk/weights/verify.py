"""Verify installed weights: sizes, hashes, keys and shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..errors import WeightsError
from ..tensor_files import SUFFIX, check_tensors, read_shapes
from .catalogue import Catalogue, PublicFile, PublicModel, is_complete, shown_size
from .download import received, sha256_of
from .files import available_weights
from .layouts import FAST_DECODER, with_fast_decoder
from .load import config_in
from .networks import empty_networks
from .public import layout_named, mapped, read_public

TOLERANCE = 0.05  # relative difference allowed between a file's size and the approximate size in the catalogue


@dataclass(frozen=True)
class Finding:
    """The result for one file or model. ok: None if there is nothing to compare with."""

    name: str
    ok: bool | None
    message: str


def verify(catalogue: Catalogue, folders: Sequence[Path]) -> Iterator[Finding]:
    """Check everything in the folders: public files, then the models they can be converted to, then models."""
    for file in catalogue.files.values():
        path = file.found(folders)
        if path is not None:
            yield check_file(file, path)
    for public in catalogue.models.values():
        yield from check_keys(public, folders)
    for name, path in available_weights(folders).items():
        yield check_model(name, path)


def check_file(file: PublicFile, path: Path) -> Finding:
    """Check size and hash of a public file against the catalogue or the record of its download."""
    if not is_complete(path):
        return Finding(path.name, False, "damaged: delete it and download it again")
    size = path.stat().st_size
    if path.name != file.name:
        return Finding(path.name, None, "converted to safetensors, so only keys and shapes are checked")
    receipt = received(path)
    expected = file.sha256 or receipt.get("sha256")
    message = shown_size(size / 1e6)
    if abs(size / 1e6 - file.megabytes) > TOLERANCE * file.megabytes:
        message += f" (expected about {shown_size(file.megabytes)})"
    if expected is None:
        return Finding(path.name, None, f"{message}; its hash is unknown, so only keys and shapes are checked")
    if sha256_of(path) != expected:
        return Finding(path.name, False, f"{message}; its SHA-256 is not {expected}: delete it and download it again")
    if file.sha256 is None and not receipt["announced"]:
        return Finding(path.name, True, f"{message}; unchanged since its download (the hub announced no hash)")
    return Finding(path.name, True, f"{message}; SHA-256 as announced")


def check_keys(public: PublicModel, folders: Sequence[Path]) -> Iterator[Finding]:
    """Check keys and shapes of the files of a model that are present; files merged into one network are checked
    together."""
    layout = layout_named(public.layout)
    if FAST_DECODER.files[0] in public.files:
        layout = with_fast_decoder(layout)
    places = {role: path for role, file in public.files.items() if (path := file.found(folders)) is not None}
    networks = empty_networks(layout.config)
    for files in dict.fromkeys(source.files for source in layout.sources):
        if set(files) <= set(places):
            sources = tuple(source for source in layout.sources if source.files == files)
            name = f"{public.name}: {', '.join(places[file].name for file in files)}"
            try:
                mapped(replace(layout, sources=sources), networks, {file: _shapes(places[file]) for file in files})
                yield Finding(name, True, "all keys and shapes match")
            except WeightsError as error:
                yield Finding(name, False, str(error))


def check_model(name: str, path: Path) -> Finding:
    """Check a model file's keys and shapes against its own header, without reading the weights."""
    try:
        header, tensors = read_shapes(path)
        expected = {
            f"{network}.{key}": value
            for network, module in empty_networks(config_in(header, path)).items()
            for key, value in module.state_dict().items()
        }
        check_tensors(expected, tensors, path.name)
    except WeightsError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, f"{shown_size(path.stat().st_size / 1e6)}; all keys and shapes match")


def _shapes(path: Path) -> dict[str, torch.Tensor]:
    return read_shapes(path)[1] if path.suffix == SUFFIX else read_public(path)
