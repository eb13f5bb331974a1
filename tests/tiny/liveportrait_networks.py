"""LivePortrait's networks with the weights of its golden tensors, which are drawn again from their seeds."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from portraittalk.config import LivePortraitConfig, PortraitTalkConfig
from portraittalk.pipelines.keypoints import KeypointPipeline
from portraittalk.tensor_files import read_tensors
from portraittalk.weights.files import find_weights
from portraittalk.weights.layouts import LAYOUTS
from portraittalk.weights.networks import FACE_MOTION, build_networks
from portraittalk.weights.public import mapped, public_names

SMALL = LivePortraitConfig(
    width=8,
    widest=64,
    channels=4,
    motion_dims=(16, 32, 64, 96),
    motion_depths=(1, 1, 2, 1),
    dense_width=4,
    dense_widest=32,
    compressed=2,
    drawn_width=16,
)
SEEDS = {
    "appearance": 101,
    "motion_extractor": 102,
    "warping": 103,
    "generator": 104,
    "retargeting.stitching": 105,
    "retargeting.lips": 106,
    "retargeting.eyes": 107,
}
NORMED = ("conv_0.weight", "conv_1.weight", "conv_s.weight")  # published with spectral norm


def small_config() -> PortraitTalkConfig:
    """LivePortrait's configuration with the widths of the golden tensors."""
    return replace(LAYOUTS["liveportrait"].config, liveportrait=SMALL)


def tiny_liveportrait() -> PortraitTalkConfig:
    """LivePortrait's configuration, narrower still and at half the size."""
    tiny = replace(
        SMALL,
        input_size=128,
        widest=32,
        depth=2,
        motion_dims=(8, 8, 16, 16),
        motion_depths=(1, 1, 1, 1),
        dense_widest=16,
        compressed=1,
        drawn_width=8,
        norm_width=16,
    )
    return replace(LAYOUTS["liveportrait"].config, crop_size=256, liveportrait=tiny)


def numbers(seed: int | torch.Generator, *shape: int) -> Tensor:
    """Multiples of 1/1024 in -1..1, the same on every machine."""
    generator = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
    return torch.randint(-1024, 1025, shape, generator=generator).float() / 1024


def drawn_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """The weights of a network with published names, drawn in their order."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for key in sorted(shapes):
        shape, name = shapes[key], key.rpartition(".")[2]
        if name == "num_batches_tracked":
            weights[key] = torch.zeros((), dtype=torch.long)
            continue
        values = numbers(generator, *shape)
        if name == "running_var":
            values = 1 + values / 2
        elif name in ("running_mean", "gamma", "beta", "bias"):
            values = values / 4
        elif name == "weight" and len(shape) == 1:
            values = 1 + values / 4
        elif name not in ("weight_u", "weight_v"):
            values = values * 2.0 ** round(math.log2(math.sqrt(3 / math.prod(shape[1:]))))
            values = values * (8 if "dense_motion_network.mask." in key or ".occlusion." in key else 1)
        if any(part in key for part in ("fc_kp", "fc_exp", "fc_t.", "fc_scale")):
            values = values / 8 + (1 if key.endswith("fc_scale.bias") else 0)
        weights[key] = values
    for key in [key for key in weights if key.endswith("weight_orig")]:
        name, matrix = key.removesuffix("_orig"), weights[key].double().flatten(1)
        right = weights[f"{name}_v"].double()
        right = right / right.norm()
        left = matrix @ right
        weights[f"{name}_u"], weights[f"{name}_v"] = (left / left.norm()).float(), right.float()
    return weights


def published_shapes(networks: dict[str, nn.Module]) -> dict[str, dict[str, tuple[int, ...]]]:
    """By the names in ``SEEDS``: published key -> shape, with the vectors of spectral norm."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {name: {} for name in SEEDS}
    for source in LAYOUTS["liveportrait"].sources:
        ours = source.ours.removesuffix(".")
        if ours not in SEEDS:
            continue
        network, _, inner = ours.partition(".")
        module = networks[network].get_submodule(inner)
        for key, value in module.state_dict().items():
            name, shape = public_names(source, f"{ours}.{key}")[0], tuple(value.shape)
            if network == "generator" and name.endswith(NORMED):
                shapes[ours] |= {f"{name}_orig": shape, f"{name}_u": shape[:1], f"{name}_v": (math.prod(shape[1:]),)}
            else:
                shapes[ours][name] = shape
    return shapes


def published_files(networks: dict[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """File of the layout -> published key -> weight."""
    files: dict[str, dict[str, Tensor]] = {}
    shapes = published_shapes(networks)
    for source in LAYOUTS["liveportrait"].sources:
        ours = source.ours.removesuffix(".")
        if ours in SEEDS:
            # The small networks were drawn without the prefixes that they have in their file.
            prefix = source.theirs if ours.startswith("retargeting.") else ""
            plain = {key.removeprefix(prefix): shape for key, shape in shapes[ours].items()}
            weights = drawn_weights(plain, SEEDS[ours])
            files.setdefault(source.files[0], {}).update({f"{prefix}{key}": one for key, one in weights.items()})
    return files


def load_drawn(networks: dict[str, nn.Module]) -> None:
    """Load drawn weights into LivePortrait's networks, by way of the layout."""
    layout = LAYOUTS["liveportrait"]
    networks = {name: network for name, network in networks.items() if name not in FACE_MOTION}
    sources = tuple(source for source in layout.sources if source.ours.partition(".")[0] in networks)
    for name, state in mapped(replace(layout, sources=sources), networks, published_files(networks)).items():
        networks[name].load_state_dict(state)
        networks[name].eval().requires_grad_(False)


@cache
def golden_networks() -> dict[str, nn.Module]:
    """The networks of the golden tensors, in evaluation mode."""
    networks = build_networks(small_config())
    load_drawn(networks)
    return networks


def random_liveportrait() -> KeypointPipeline:
    """A tiny pipeline; the networks of facial motion are those of mini."""
    config = tiny_liveportrait()
    model = KeypointPipeline.build(config, build_networks(config), Path())
    load_drawn(model.modules())
    mini = read_tensors(find_weights("mini"))[1]
    for name in FACE_MOTION:
        network = model.modules()[name]
        network.load_state_dict({key: mini[f"{name}.{key}"] for key in network.state_dict()})
        network.eval().requires_grad_(False)
    return model
