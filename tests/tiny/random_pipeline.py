"""Pipelines with random weights."""

import torch

from portraittalk.config import PortraitTalkConfig
from portraittalk.pipelines.load import AnyPipeline, build_pipeline


def random_pipeline(config: PortraitTalkConfig) -> AnyPipeline:
    """Build a pipeline with the same random weights every time, for inference."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_pipeline(config)
    for module in model.modules().values():
        module.eval().requires_grad_(False)
    return model
