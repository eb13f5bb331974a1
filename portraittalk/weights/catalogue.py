"""The catalogue of public weights (``public_files.json``), and which of its files are in the user's folders.

Downloaded files go into the subfolder ``public`` of a models folder, except for those that a model needs next to
itself. The model converted from them is a single file in the models folder.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ..errors import WeightsError
from ..tensor_files import SUFFIX, read_shapes

LIST = Path(__file__).parent / "public_files.json"
PUBLIC = "public"
HUB = "https://huggingface.co"
PICKLED = (".pth", ".ckpt", ".pt", ".bin")

State = Literal["present", "missing", "broken"]


@dataclass(frozen=True)
class PublicFile:
    """A file that can be downloaded.

    folder, name: location in a models folder. repo, path: location on the Hugging Face hub. megabytes: approximate
    size. commercial: whether the licence allows commercial use.
    """

    name: str
    repo: str
    path: str
    megabytes: float
    licence: str
    purpose: str
    sha256: str | None = None
    commercial: bool = True
    folder: str = PUBLIC

    @property
    def url(self) -> str:
        return f"{HUB}/{self.repo}/resolve/main/{self.path}"

    def place(self, folder: Path) -> Path:
        """Return the path of the file in a models folder."""
        return folder / self.folder / self.name

    def found(self, folders: Sequence[Path]) -> Path | None:
        """Return the path of the file, as published or converted to safetensors; None if no folder has it."""
        for folder in folders:
            for path in (self.place(folder), self.place(folder).with_suffix(SUFFIX)):
                if path.is_file():
                    return path
        return None

    def state(self, folders: Sequence[Path]) -> State:
        """Return whether the file is there and complete, from a quick check of its header and length."""
        path = self.found(folders)
        if path is None:
            return "missing"
        return "present" if is_complete(path) else "broken"

    def wanted_in(self, folder: Path) -> str:
        """Return a phrase that says what to download, and into which folder."""
        return f"{self.name} ({shown_size(self.megabytes)}) from {self.url} into {self.place(folder).parent}"


@dataclass(frozen=True)
class PublicModel:
    """A model that can be converted from public files.

    files: name in the layout -> file. beside: files that the model needs in its own folder, as published.
    """

    name: str
    layout: str
    purpose: str
    megabytes: float
    files: Mapping[str, PublicFile]
    beside: Sequence[PublicFile] = ()

    @property
    def needed(self) -> list[PublicFile]:
        return [*self.files.values(), *self.beside]

    def missing(self, folders: Sequence[Path]) -> list[PublicFile]:
        return [file for file in self.needed if file.found(folders) is None]


@dataclass(frozen=True)
class Catalogue:
    """Public files and models by name."""

    files: Mapping[str, PublicFile]
    models: Mapping[str, PublicModel]

    def lookup(self, name: str) -> tuple[PublicModel | None, list[PublicFile]]:
        """Return the model of this name and its files, or None and the file of this name. Raises WeightsError for an
        unknown name."""
        if name in self.models:
            return self.models[name], self.models[name].needed
        if name in self.files:
            return None, [self.files[name]]
        raise WeightsError(
            f"There are no public weights named '{name}'; choose one of the models {', '.join(self.models)}, or a file "
            "shown by `portraittalk weights list`."
        )

    def used_by(self, file: PublicFile) -> list[str]:
        return [model.name for model in self.models.values() if file in model.needed]


@lru_cache(maxsize=2)
def catalogue(path: Path = LIST) -> Catalogue:
    """Read the catalogue from its JSON file."""
    listing = json.loads(path.read_text(encoding="utf-8"))
    files = {entry["name"]: PublicFile(**entry) for entry in listing["files"]}
    models = {}
    for entry in listing["models"]:
        parts = {role: files[name] for role, name in entry["files"].items()}
        beside = [files[name] for name in entry.get("beside", ())]
        models[entry["name"]] = PublicModel(**{**entry, "files": parts, "beside": beside})
    return Catalogue(files, models)


def is_complete(path: Path) -> bool:
    """Return whether a weights file is complete, judging by its header and length. Truncated pickles from before
    torch 1.6 (not zip files) go unnoticed."""
    if path.suffix == SUFFIX:
        try:
            read_shapes(path)
        except WeightsError:
            return False
        return True
    with path.open("rb") as file:
        magic = file.read(2)
    return zipfile.is_zipfile(path) if magic == b"PK" else bool(magic)


def shown_size(megabytes: float) -> str:
    return f"{megabytes / 1000:.2f} GB" if megabytes >= 1000 else f"{megabytes:.3g} MB"
