"""Which public weights there are, and which of them lie in the user's folders.

What is known of them stands in ``public_files.json``. The files lie in the folder ``public`` of a folder of models, but
for those that a model needs beside it, and the model that is made of them, one file, in the folder of models itself.
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
    """A file that people can download. folder and name: here, in a folder of models; repo and path: on the hub.
    megabytes: about. commercial: whether the licence allows that use."""

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
        """Where it belongs in a folder of models."""
        return folder / self.folder / self.name

    def found(self, folders: Sequence[Path]) -> Path | None:
        """Where it lies: as it was published, or converted to safetensors."""
        for folder in folders:
            for path in (self.place(folder), self.place(folder).with_suffix(SUFFIX)):
                if path.is_file():
                    return path
        return None

    def state(self, folders: Sequence[Path]) -> State:
        """At a glance: whether it is there, and ends where its beginning says."""
        path = self.found(folders)
        if path is None:
            return "missing"
        return "present" if is_whole(path) else "broken"

    def wanted_in(self, folder: Path) -> str:
        """What to download, and where it goes, in words."""
        return f"{self.name} ({shown_size(self.megabytes)}) from {self.url} into {self.place(folder).parent}"


@dataclass(frozen=True)
class PublicModel:
    """A model that can be made of public files. files: name in the layout -> file. beside: what the model needs in its
    folder, as it was published."""

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
    """Files and models by name."""

    files: Mapping[str, PublicFile]
    models: Mapping[str, PublicModel]

    def asked_for(self, name: str) -> tuple[PublicModel | None, list[PublicFile]]:
        """The model of this name and its files, or the file of this name. Raises WeightsError where there is none."""
        if name in self.models:
            return self.models[name], self.models[name].needed
        if name in self.files:
            return None, [self.files[name]]
        raise WeightsError(
            f"There are no public weights named '{name}'; there are the models {', '.join(self.models)}, and the files "
            "that `portraittalk weights list` shows."
        )

    def used_by(self, file: PublicFile) -> list[str]:
        return [model.name for model in self.models.values() if file in model.needed]


@lru_cache(maxsize=2)
def catalogue(path: Path = LIST) -> Catalogue:
    """What the list says."""
    told = json.loads(path.read_text(encoding="utf-8"))
    files = {entry["name"]: PublicFile(**entry) for entry in told["files"]}
    models = {}
    for entry in told["models"]:
        parts = {role: files[name] for role, name in entry["files"].items()}
        beside = [files[name] for name in entry.get("beside", ())]
        models[entry["name"]] = PublicModel(**{**entry, "files": parts, "beside": beside})
    return Catalogue(files, models)


def is_whole(path: Path) -> bool:
    """Whether a weights file is no torn one, as far as its beginning and end tell. Old pickles tell nothing."""
    if path.suffix == SUFFIX:
        try:
            read_shapes(path)
        except WeightsError:
            return False
        return True
    with path.open("rb") as file:
        beginning = file.read(2)
    return zipfile.is_zipfile(path) if beginning == b"PK" else bool(beginning)


def shown_size(megabytes: float) -> str:
    return f"{megabytes / 1000:.2f} GB" if megabytes >= 1000 else f"{megabytes:.3g} MB"
