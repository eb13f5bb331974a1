"""Load weights files into pipelines; the kind of a model is decided here only."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..checks import check_type, shown
from ..config import PortraitTalkConfig
from ..errors import SettingsError, WeightsError
from ..weights.files import BUILT_IN, find_weights, model_folders
from ..weights.load import load_networks
from ..weights.networks import build_networks, settle
from .base import Pipeline
from .crop import CropPipeline
from .keypoints import KeypointPipeline
from .prompt import PromptPipeline
from .reference import ReferencePipeline
from .window import WindowPipeline

AnyPipeline = WindowPipeline | CropPipeline | ReferencePipeline | PromptPipeline | KeypointPipeline
PIPELINES: dict[str, type[AnyPipeline]] = {
    "window": WindowPipeline,
    "crop": CropPipeline,
    "reference": ReferencePipeline,
    "prompt": PromptPipeline,
    "keypoints": KeypointPipeline,
}


def pipeline_class(config: PortraitTalkConfig) -> type[AnyPipeline]:
    """Return the pipeline class for a model configuration."""
    return PIPELINES[config.kind]


def load_model(
    name_or_path: str | Path = BUILT_IN,
    device: torch.device | str = "cpu",
    folders: Sequence[Path] | None = None,
    dtype: torch.dtype | None = None,
) -> AnyPipeline:
    """Load a model of any kind, by name (str: a shipped model, or a file in ``folders``) or from a file (Path).

    folders: by default ComfyUI's models/portraittalk, where the package is installed in a ComfyUI. dtype: by default
    single precision, but half precision for public weights on a GPU. Raises WeightsError where the file is missing,
    corrupt, of another format, or does not match its own header, and SettingsError for an unknown device or precision.
    """
    check_type("The model", name_or_path, (str, Path), "a name or a path", WeightsError)
    _check_device(device)
    if dtype is not None:
        check_type("The precision", dtype, torch.dtype, "a dtype of torch", SettingsError)
    if isinstance(name_or_path, str):
        path = find_weights(name_or_path, model_folders() if folders is None else folders)
    else:
        path = name_or_path
    config, networks = load_networks(path)
    settle(config, networks, device, dtype)
    return pipeline_class(config).build(config, networks, path.parent)


def _check_device(device: torch.device | str) -> None:
    check_type("The device", device, (str, torch.device), "the name of a device", SettingsError)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # of unknown names, and of builds of torch without CUDA
        raise SettingsError(f"The device {shown(str(device))} is not available: use cpu, cuda or mps.") from error


def build_pipeline(config: PortraitTalkConfig, folder: Path = Path()) -> AnyPipeline:
    """Build a pipeline with randomly initialised weights on torch's default device, for training or tests."""
    return pipeline_class(config).build(config, build_networks(config), folder)


def _meets_protocol(pipeline: AnyPipeline) -> Pipeline:
    """Let the type checker verify that every pipeline implements the protocol."""
    return pipeline
