"""Find weights files by name, in the package and in the user's folders."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError
from ..tensor_files import SUFFIX

BUILT_IN = "mini"
_ASSETS = Path(__file__).parent.parent / "assets"


def available_weights(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Return name -> file of the models in the package and in ``folders``; the first file of a name wins."""
    found: dict[str, Path] = {}
    for folder in (_ASSETS, *folders):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            found.setdefault(path.stem, path)
    return found


def find_weights(name: str, folders: Sequence[Path] = ()) -> Path:
    """Return the file of a model by name. Raises WeightsError for an unknown name, or a path instead of a name."""
    if not name or any(sign in name for sign in "/\\:") or name.startswith("."):
        raise WeightsError(f"Choose a model by its name, not by a path such as '{name}'.")
    weights = available_weights(folders)
    key = name.removesuffix(SUFFIX)
    if key not in weights:
        raise WeightsError(f"There is no model named '{name}'; available models: {', '.join(weights) or 'none'}.")
    return weights[key]


def comfyui_models_folder(package: Path = _ASSETS.parent) -> Path | None:
    """Return ComfyUI's models/portraittalk if the package is installed as a custom node, else None."""
    custom_nodes = package.absolute().parents[1]
    return custom_nodes.parent / "models" / "portraittalk" if custom_nodes.name == "custom_nodes" else None


def model_folders(chosen: Path | None = None) -> list[Path]:
    """Return the folders searched for further models: the user's choice, else ComfyUI's, if there is one."""
    folder = chosen or comfyui_models_folder()
    return [] if folder is None else [folder]
