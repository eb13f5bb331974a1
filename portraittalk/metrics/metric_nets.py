"""Networks that published metrics stand on. Their weights do not ship: the user puts the files into a folder.

Nothing is downloaded. A file may be there as it was published, or as a .safetensors file of the same stem; of what
was pickled only tensors are read.
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

FOLDER = "metrics"  # within a folder of models
COUNTERS = "num_batches_tracked"  # of training: not used, and older files have none


@dataclass(frozen=True)
class Published:
    """One network. what: its name. files: by their published names. unused: keys that are read by nobody. renamed:
    keys that have another name here."""

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
    """None where its weights are not there."""

    syncnet: SyncNet | None = None
    lpips: Lpips | None = None
    inception: Inception | None = None
    i3d: I3d | None = None


def load_metric_nets(
    folders: Sequence[Path], device: torch.device | str = "cpu", names: Collection[str] = tuple(PUBLISHED)
) -> MetricNets:
    """Those of the named networks whose files are in one of the folders.

    Raises WeightsError where a file is damaged or not what its name says, and where only one of two files is there.
    """
    found = {}
    for name in names:
        tensors = _tensors(PUBLISHED[name], folders)
        if tensors is not None:
            found[name] = _filled(PUBLISHED[name], tensors).to(device)
    return MetricNets(**found)  # type: ignore[arg-type]  # by name


def check_folder(folder: Path) -> None:
    """Raises WeightsError unless there is a file of metric weights in a folder."""
    files = [file for published in PUBLISHED.values() for file in published.files]
    if not any(_place(file, [folder]) for file in files):
        raise WeightsError(
            f"There are no weights of metrics in {folder}: put there what you have of {', '.join(files)}."
        )


def _place(file: str, folders: Sequence[Path]) -> Path | None:
    """Where a file lies, as published or as safetensors."""
    names = (Path(file).with_suffix(SUFFIX).name, file)
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def _tensors(published: Published, folders: Sequence[Path]) -> dict[str, dict[str, Tensor]] | None:
    """The tensors by the files that hold them; None where there is none of the files."""
    places = {file: _place(file, folders) for file in published.files}
    missing = [file for file, place in places.items() if place is None]
    if len(missing) == len(places):
        return None
    if missing:
        there = next(place for place in places.values() if place is not None)
        raise WeightsError(
            f"{published.what} needs {missing[0]} beside {there.name} in {there.parent}: add it, or take both away."
        )
    return {place.name: read_public(place) for place in places.values() if place is not None}


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
    where = " and ".join(files)
    try:
        fill(net, given, where)
    except WeightsError as error:
        raise WeightsError(f"{error} It should hold {published.what}, as published; get it again.") from error
    return net.float().eval().requires_grad_(False)
