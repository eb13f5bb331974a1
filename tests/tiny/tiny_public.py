"""Random networks of a layout as public files: what is converted in the tests."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from portraittalk.config import ClipConfig, PortraitTalkConfig
from portraittalk.pipelines.load import build_pipeline
from portraittalk.pipelines.reference import ReferencePipeline
from portraittalk.weights.layout import SHIPPED, Layout
from portraittalk.weights.layouts import ANIPORTRAIT, ECHOMIMIC
from portraittalk.weights.public import public_names


def tiny_echomimic() -> PortraitTalkConfig:
    """EchoMimic's configuration with narrower networks."""
    return replace(
        ECHOMIMIC,
        crop_size=128,
        structure=replace(ECHOMIMIC.structure, map_size=128),
        autoencoder=replace(
            ECHOMIMIC.autoencoder, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=8
        ),
        animate_net=replace(ECHOMIMIC.animate_net, block_out_channels=(32, 64, 64, 64)),
    )


def shallow(config: PortraitTalkConfig) -> PortraitTalkConfig:
    """The configuration with two levels of one layer, for what has nothing to do with the names in public files."""
    return replace(config, animate_net=replace(config.animate_net, block_out_channels=(32, 64), layers_per_block=1))


def tiny_aniportrait() -> PortraitTalkConfig:
    """AniPortrait's configuration with narrower networks."""
    return replace(
        ANIPORTRAIT,
        crop_size=128,
        structure=replace(ANIPORTRAIT.structure, map_size=128),
        autoencoder=tiny_echomimic().autoencoder,
        clip=ClipConfig(image_size=28, image_width=32, image_layers=2, image_heads=2, projection=768),
        animate_net=replace(ANIPORTRAIT.animate_net, block_out_channels=(32, 64, 128, 128)),
    )


def random_reference_model(layout: Layout) -> ReferencePipeline:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_pipeline(layout.config)


def write_public(
    layout: Layout, model: ReferencePipeline, folder: Path, pickled: Collection[str] = ()
) -> dict[str, Path]:
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
