"""Loading the networks of published metrics. Their weights do not ship: the user puts the files into a folder.

Nothing is downloaded. A file may be the published one or a .safetensors file of the same stem; from pickled files only
tensors are read.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..tensor_files import SUFFIX, fill
from ..weights.public import read_public
from .i3d import I3d
from .inception import Inception
from .lpips import Lpips
from .syncnet import SyncNet

FOLDER = "metrics"  # within a models folder
COUNTERS = "num_batches_tracked"  # used in training only, and missing from older files


@dataclass(frozen=True)
class Published:
    """A published network.

    what: its name. files: the published file names. unused: pattern of keys that are ignored. renamed: pattern and
    replacement for keys with another name here.
    """

    what: str
    build: Callable[[], nn.Module]
    files: tuple[str, ...]
    unused: str = r"$"
    renamed: tuple[str, str] = (r"$", "")


PUBLISHED: Mapping[str, Published] = {
    "syncnet": Published("SyncNet", SyncNet, ("syncnet_v2.model",)),
    "lpips": Published(
        "LPIPS",
        Lpips,
        ("alexnet-owt-7be5be79.pth", "alex.pth"),
        unused=r"classifier\.",
        renamed=(r"^lin(\d)\.model\.1\.weight$", r"weights.\1"),
    ),
    "inception": Published("FID's Inception", Inception, ("pt_inception-2015-12-05-6726825d.pth",), unused=r"fc\."),
    "i3d": Published("FVD's I3D", I3d, ("i3d_pretrained_400.pt",)),
}


@dataclass(frozen=True)
class MetricNets:
    """The loaded metric networks; None where the weights are missing."""

    syncnet: SyncNet | None = None
    lpips: Lpips | None = None
    inception: Inception | None = None
    i3d: I3d | None = None


def load_metric_nets(
    folders: Sequence[Path], device: torch.device | str = "cpu", names: Collection[str] = tuple(PUBLISHED)
) -> MetricNets:
    """Load those of the named networks whose files are in one of the folders.

    Raises WeightsError if a file is damaged or does not contain the network, or if only one of two files is there.
    """
    found = {}
    for name in names:
        tensors = _tensors(PUBLISHED[name], folders)
        if tensors is not None:
            found[name] = _filled(PUBLISHED[name], tensors).to(device)
    return MetricNets(**found)  # type: ignore[arg-type]  # by name


def check_folder(folder: Path) -> None:
    """Raise WeightsError unless the folder contains a file of metric weights."""
    files = [file for published in PUBLISHED.values() for file in published.files]
    if not any(_find(file, [folder]) for file in files):
        raise WeightsError(f"{folder} has no metric weights: add at least one of {', '.join(files)}.")


def _find(file: str, folders: Sequence[Path]) -> Path | None:
    """Return the path of a file, as published or as safetensors, or None."""
    names = (Path(file).with_suffix(SUFFIX).name, file)
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def _tensors(published: Published, folders: Sequence[Path]) -> dict[str, dict[str, Tensor]] | None:
    """Return the tensors by file name, or None if none of the files is there."""
    paths = {file: _find(file, folders) for file in published.files}
    missing = [file for file, path in paths.items() if path is None]
    if len(missing) == len(paths):
        return None
    if missing:
        present = next(path for path in paths.values() if path is not None)
        raise WeightsError(
            f"{published.what} needs {missing[0]} beside {present.name} in {present.parent}: add it, or remove both."
        )
    return {path.name: read_public(path) for path in paths.values() if path is not None}


def _filled(published: Published, files: Mapping[str, Mapping[str, Tensor]]) -> nn.Module:
    with torch.device("meta"):
        net = published.build()
    given = {
        re.sub(*published.renamed, key): value
        for tensors in files.values()
        for key, value in tensors.items()
        if not (re.match(published.unused, key) or key.endswith(COUNTERS))
    }
    given |= {key: torch.zeros((), dtype=torch.long) for key in net.state_dict() if key.endswith(COUNTERS)}
    names = " and ".join(files)
    try:
        fill(net, given, names)
    except WeightsError as error:
        raise WeightsError(f"{error} It should contain the published {published.what}: download it again.") from error
    return net.float().eval().requires_grad_(False)
