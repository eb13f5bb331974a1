"""Are the weights that are there whole, and what they should be: sizes, hashes, keys and shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..errors import WeightsError
from ..tensor_files import SUFFIX, check_tensors, read_shapes
from .catalogue import Catalogue, PublicFile, PublicModel, is_whole, shown_size
from .download import received, sha256_of
from .files import available_weights
from .layouts import FAST_DECODER, with_fast_decoder
from .load import config_in
from .networks import build_networks
from .public import layout_named, mapped, read_public

TOLERANCE = 0.05  # by which a file's size may differ from what is about known of it


@dataclass(frozen=True)
class Finding:
    """What was found of one file or model. good: None where there is nothing to compare with."""

    name: str
    good: bool | None
    told: str


def verify(catalogue: Catalogue, folders: Sequence[Path]) -> Iterator[Finding]:
    """All that lies in the folders: public files first, then what models they make, then the models themselves."""
    for file in catalogue.files.values():
        path = file.found(folders)
        if path is not None:
            yield check_file(file, path)
    for public in catalogue.models.values():
        yield from check_keys(public, folders)
    for name, path in available_weights(folders).items():
        yield check_model(name, path)


def check_file(file: PublicFile, path: Path) -> Finding:
    """Size and hash of a public file, against the list or against what was noted when it came."""
    if not is_whole(path):
        return Finding(path.name, False, "damaged: delete it and get it again")
    size = path.stat().st_size
    if path.name != file.name:
        return Finding(path.name, None, "converted: judged by its keys")
    known = received(path)
    wanted = file.sha256 or known.get("sha256")
    told = shown_size(size / 1e6)
    if abs(size / 1e6 - file.megabytes) > TOLERANCE * file.megabytes:
        told += f" (about {shown_size(file.megabytes)} was expected)"
    if wanted is None:
        return Finding(path.name, None, f"{told}; its hash is not known here: judged by its keys")
    if sha256_of(path) != wanted:
        return Finding(path.name, False, f"{told}; its SHA-256 is not {wanted}: delete it and get it again")
    if file.sha256 is None and not known["announced"]:
        return Finding(path.name, True, f"{told}; as it came, though the hub announced no hash")
    return Finding(path.name, True, f"{told}; SHA-256 as announced")


def check_keys(public: PublicModel, folders: Sequence[Path]) -> Iterator[Finding]:
    """Keys and shapes of those files of a model that are there, together with those that they are taken with."""
    layout = layout_named(public.layout)
    if FAST_DECODER.files[0] in public.files:
        layout = with_fast_decoder(layout)
    places = {role: path for role, file in public.files.items() if (path := file.found(folders)) is not None}
    with torch.device("meta"):
        wanted = build_networks(layout.config)
    for files in dict.fromkeys(source.files for source in layout.sources):
        if set(files) <= set(places):
            sources = tuple(source for source in layout.sources if source.files == files)
            name = f"{public.name}: {', '.join(places[file].name for file in files)}"
            try:
                mapped(replace(layout, sources=sources), wanted, {file: _shapes(places[file]) for file in files})
                yield Finding(name, True, "every key has its place and shape")
            except WeightsError as error:
                yield Finding(name, False, str(error))


def check_model(name: str, path: Path) -> Finding:
    """Whether a model's file fits its own header; its numbers are not read."""
    try:
        header, tensors = read_shapes(path)
        with torch.device("meta"):
            wanted = {
                f"{network}.{key}": value
                for network, module in build_networks(config_in(header, path)).items()
                for key, value in module.state_dict().items()
            }
        check_tensors(wanted, tensors, path.name)
    except WeightsError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, f"{shown_size(path.stat().st_size / 1e6)}; every key has its place and shape")


def _shapes(path: Path) -> dict[str, torch.Tensor]:
    return read_shapes(path)[1] if path.suffix == SUFFIX else read_public(path)
