"""Stable Diffusion 1.5 and what goes with it at a tiny size: the real classes, random, and as public files."""

import json
import re
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from portraittalk.config import ClipConfig, PortraitTalkConfig
from portraittalk.pipelines.load import build_pipeline
from portraittalk.pipelines.prompt import PromptPipeline
from portraittalk.tensor_files import fill
from portraittalk.weights.layout import SHIPPED, Layout, Source
from portraittalk.weights.networks import build_networks, settle
from portraittalk.weights.public import extended, gathered, public_names

CLIP = ClipConfig(
    words=300,
    text_width=32,
    text_layers=2,
    text_heads=4,
    image_size=28,
    image_width=48,
    image_layers=3,
    image_heads=4,
    resampler_width=40,
    resampler_heads=1,
    tokens=4,
)


def tiny(layout: Layout, shallow: bool = False) -> Layout:
    """The layout with narrow networks; depths, but for CLIP's, are the real ones, which the names of public files know.

    shallow: less deep as well, for what has nothing to do with files.
    """
    config: PortraitTalkConfig = layout.config
    layers = 1 if shallow else 2
    small = replace(
        config,
        crop_size=64,
        clip=CLIP,
        structure=replace(config.structure, map_size=64, flow_size=32),
        autoencoder=replace(
            config.autoencoder, block_out_channels=(8, 8, 16, 16), norm_num_groups=8, layers_per_block=layers
        ),
        animate_net=replace(
            config.animate_net,
            block_out_channels=(16, 32) if shallow else (16, 32, 64, 64),
            layers_per_block=layers,
            norm_num_groups=8,
            attention_head_dim=4,
            motion_num_attention_heads=4,
            token_dim=32,
            text_dim=32,
        ),
    )
    return replace(layout, config=small)


def random_model(layout: Layout) -> PromptPipeline:
    """Networks with random weights, those included that training begins at zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_pipeline(layout.config)
        for module in model.modules().values():
            for parameter in module.parameters():
                if not parameter.any():
                    nn.init.normal_(parameter, std=0.05)
            module.eval().requires_grad_(False)
    return model


def public_tensors(layout: Layout, model: PromptPipeline) -> dict[str, dict[str, Tensor]]:
    """File -> public key -> tensor: the model's networks under the names of the layout."""
    states = {f"{name}.{key}": v for name, net in model.modules().items() for key, v in net.state_dict().items()}
    files: dict[str, dict[str, Tensor]] = {file: {} for file in layout.files}
    for source in layout.sources:
        if source.files == (SHIPPED,):
            continue
        state = files[source.files[0]]
        for key in _meant(source, states):
            state[public_names(source, key)[0]] = states[key].contiguous()
    for key in [key for key in files["checkpoint"] if ".attn_1." in key and key.endswith(("q.weight", "k.weight"))]:
        files["checkpoint"][key] = files["checkpoint"][key][..., None, None]  # the research code has convolutions there
    adapter = files["ip_adapter"]
    for key in [key for key in adapter if key.endswith(".to_k.weight")]:
        value = adapter.pop(key.replace(".to_k.", ".to_v."))
        adapter[key.replace(".to_k.", ".to_kv.")] = torch.cat((adapter.pop(key), value))
    files["checkpoint"]["model_ema.decay"] = torch.tensor(0.999)
    return files


def _meant(source: Source, states: dict[str, Tensor]) -> list[str]:
    begun = [key for key in states if key.startswith(source.ours)]
    return [key for key in begun if re.match(source.only, key.removeprefix(source.ours))]


def public_files(layout: Layout, model: PromptPipeline, folder: Path) -> dict[str, Path]:
    """These tensors in files: motion as AnimateDiff pickles it, the IP-Adapter as tables in a table."""
    paths = {}
    for name, state in public_tensors(layout, model).items():
        pickled = name in ("motion_module", "ip_adapter")
        paths[name] = folder / f"{name}{'.ckpt' if pickled else '.safetensors'}"
        if name == "motion_module":
            torch.save({"epoch": 1, "state_dict": {f"module.{key}": v for key, v in state.items()}}, paths[name])
        elif pickled:
            tables: dict[str, dict[str, Tensor]] = {}
            for key, value in state.items():
                table, _, rest = key.partition(".")
                tables.setdefault(table, {})[rest] = value
            torch.save(tables, paths[name])
        else:
            save_file(state, paths[name])
    return paths


def write_vocabulary(folder: Path) -> None:
    """A tokenizer of CLIP's kind with letters and a few words, whose two last numbers are begin and end."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    merges = ["o l", "ol d</w>", "w o", "wo m", "wom a", "woma n</w>"]
    words = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        ",</w>",
        "ol",
        "old</w>",
        "wo",
        "wom",
        "woma",
        "woman</w>",
    ]
    fill = [f"<{number}>" for number in range(CLIP.words - 2 - len(words))]
    vocabulary = {word: n for n, word in enumerate([*words, *fill, "<|startoftext|>", "<|endoftext|>"])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def assembled(layout: Layout, tensors: dict[str, dict[str, Tensor]], folder: Path) -> PromptPipeline:
    """A pipeline straight from the tensors of public files, by name in the layout; ``folder`` has the tokenizer."""
    layout = extended(layout, tensors)
    with torch.device("meta"):
        networks = build_networks(layout.config)
    found = gathered(layout, tensors, networks)
    for name, module in networks.items():
        fill(module, found[name], name)
    settle(layout.config, networks, "cpu")
    return PromptPipeline.build(layout.config, networks, folder)
