"""LoRA for Stable Diffusion 1.5, merged into the weights that it changes: LCM-LoRA, AnimateLCM's, and others like them.

Hu et al. 2021, arXiv 2106.09685: a weight W becomes W + strength * (alpha / rank) * up @ down.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import WeightsError
from ..tensor_files import listed

_PART = re.compile(r"^(.*)\.(lora_down|lora_up|lora_A|lora_B|lora\.down|lora\.up)\.weight$")
_DOWN = ("lora_down", "lora_A", "lora.down")


def merged(weights: Mapping[str, Tensor], lora: Mapping[str, Tensor], strength: float = 1.0) -> dict[str, Tensor]:
    """weights: a UNet's, by diffusers' names. lora: by kohya's (``lora_unet_...``) or by diffusers' (``unet....``).

    Raises WeightsError for a pair that is not whole, and for what belongs to no weight of the UNet, by name.
    """
    by_name = {_spelled(key.removesuffix(".weight")): key for key in weights if key.endswith(".weight")}
    halves: dict[str, dict[str, Tensor]] = {}
    alphas = {key.removesuffix(".alpha"): value for key, value in lora.items() if key.endswith(".alpha")}
    strangers = []
    for key, value in lora.items():
        match = _PART.match(key)
        if match:
            halves.setdefault(match[1], {})["down" if match[2] in _DOWN else "up"] = value
        elif not key.endswith(".alpha"):
            strangers.append(key)
    changed = dict(weights)
    for name, pair in halves.items():
        target = by_name.get(_spelled(name.removeprefix("lora_unet_").removeprefix("unet.")))
        if target is None or set(pair) != {"down", "up"}:
            strangers.append(name)
            continue
        rank = len(pair["down"])
        delta = pair["up"].float().flatten(1) @ pair["down"].float().flatten(1)
        weight = changed[target]
        if delta.numel() != weight.numel():
            strangers.append(name)
            continue
        scale = strength * float(alphas.get(name, torch.tensor(float(rank)))) / rank
        changed[target] = (weight.float() + scale * delta.view_as(weight)).to(weight.dtype)
    strangers += [f"{name}.alpha" for name in alphas if name not in halves]
    if strangers or not halves:
        told = listed(strangers) if strangers else "nothing"
        raise WeightsError(f"The LoRA holds {told} that belongs to no weight of Stable Diffusion 1.5's UNet.")
    return changed


def _spelled(name: str) -> str:
    return name.replace(".", "_")
