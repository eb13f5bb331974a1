"""Load weights files into pipelines; the kind of a model is decided here only."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..config import PortraitTalkConfig
from ..weights.files import BUILT_IN, find_weights, model_folders
from ..weights.load import load_networks
from ..weights.networks import build_networks, settle
from .base import Pipeline
from .mini import MiniPipeline
from .prompt import PromptPipeline
from .reference import ReferencePipeline

AnyPipeline = MiniPipeline | ReferencePipeline | PromptPipeline
PIPELINES: dict[str, type[AnyPipeline]] = {
    "mini": MiniPipeline,
    "reference": ReferencePipeline,
    "prompt": PromptPipeline,
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
    corrupt, of another format, or does not match its own header.
    """
    if isinstance(name_or_path, str):
        path = find_weights(name_or_path, model_folders() if folders is None else folders)
    else:
        path = name_or_path
    config, networks = load_networks(path)
    settle(config, networks, device, dtype)
    return pipeline_class(config).build(config, networks, path.parent)


def build_pipeline(config: PortraitTalkConfig, folder: Path = Path()) -> AnyPipeline:
    """Build a pipeline with randomly initialised weights on torch's default device, for training or tests."""
    return pipeline_class(config).build(config, build_networks(config), folder)


def _meets_protocol(pipeline: AnyPipeline) -> Pipeline:
    """Let the type checker verify that every pipeline implements the protocol."""
    return pipeline
