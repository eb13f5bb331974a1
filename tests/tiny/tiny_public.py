"""Random networks of a layout as public files: what is converted in the tests."""

from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from portraittalk.weights.layout import SHIPPED, Layout
from portraittalk.weights.model import ReferenceModel, build_reference_model
from portraittalk.weights.public import public_names


def random_reference_model(layout: Layout) -> ReferenceModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_reference_model(layout.config)


def write_public(layout: Layout, model: ReferenceModel, folder: Path, pickled: Collection[str] = ()) -> dict[str, Path]:
    """The model's networks in one file for each role of the layout; those of ``pickled`` roles are, as most are
    published."""
    states = {f"{name}.{key}": v for name, net in model.modules().items() for key, v in net.state_dict().items()}
    files: dict[str, dict[str, Tensor]] = {file: {} for file in layout.files}
    for source in layout.sources:
        for key, value in states.items():
            if key.startswith(source.ours) and SHIPPED not in source.files:
                file = source.files[0] if "motion_modules." in key else source.files[-1]
                files[file][public_names(source, key)[0]] = value.contiguous()
    paths = {}
    for file, state in files.items():
        paths[file] = folder / f"{file}{'.pth' if file in pickled else '.safetensors'}"
        torch.save(state, paths[file]) if file in pickled else save_file(state, paths[file])
    return paths
