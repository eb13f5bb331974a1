"""Where weights files lie, by name: the ones that ship inside the package, and those in the user's folders."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError
from ..tensor_files import SUFFIX

BUILT_IN = "mini"
_ASSETS = Path(__file__).parent.parent / "assets"


def available_weights(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Name -> file of the models that ship with the package and those in ``folders``; the first of a name counts."""
    found: dict[str, Path] = {}
    for folder in (_ASSETS, *folders):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            found.setdefault(path.stem, path)
    return found


def find_weights(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of a model's name. Raises WeightsError for an unknown name, or a path where a name belongs."""
    if not name or any(sign in name for sign in "/\\:") or name.startswith("."):
        raise WeightsError(f"A model is chosen by its name, not by a path: '{name}'.")
    weights = available_weights(folders)
    key = name.removesuffix(SUFFIX)
    if key not in weights:
        raise WeightsError(f"There is no model named '{name}'; there are: {', '.join(weights) or 'none'}.")
    return weights[key]


def usual_folder(package: Path = _ASSETS.parent) -> Path | None:
    """ComfyUI's folder of models for us, where the package lies in a pack inside of a ComfyUI; else None."""
    packs = package.absolute().parents[1]
    return packs.parent / "models" / "portraittalk" if packs.name == "custom_nodes" else None


def model_folders(chosen: Path | None = None) -> list[Path]:
    """Where further models are looked for: in the folder that the user chose, else in ComfyUI's, if there is one."""
    folder = chosen or usual_folder()
    return [] if folder is None else [folder]
