"""Merge LoRAs for Stable Diffusion 1.5 (LCM-LoRA, AnimateLCM's and similar) into the UNet's weights.

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
    """Return the weights with a LoRA merged into them.

    weights: a UNet's, with diffusers' keys. lora: with kohya's keys (``lora_unet_...``) or diffusers' (``unet....``).
    Raises WeightsError, with the keys, if an up or down matrix is missing or matches no weight of the UNet.
    """
    by_name = {_underscored(key.removesuffix(".weight")): key for key in weights if key.endswith(".weight")}
    pairs: dict[str, dict[str, Tensor]] = {}
    alphas = {key.removesuffix(".alpha"): value for key, value in lora.items() if key.endswith(".alpha")}
    unmatched = []
    for key, value in lora.items():
        match = _PART.match(key)
        if match:
            pairs.setdefault(match[1], {})["down" if match[2] in _DOWN else "up"] = value
        elif not key.endswith(".alpha"):
            unmatched.append(key)
    result = dict(weights)
    for name, pair in pairs.items():
        target = by_name.get(_underscored(name.removeprefix("lora_unet_").removeprefix("unet.")))
        if target is None or set(pair) != {"down", "up"}:
            unmatched.append(name)
            continue
        rank = len(pair["down"])
        delta = pair["up"].float().flatten(1) @ pair["down"].float().flatten(1)
        weight = result[target]
        if delta.numel() != weight.numel():
            unmatched.append(name)
            continue
        scale = strength * float(alphas.get(name, torch.tensor(float(rank)))) / rank
        result[target] = (weight.float() + scale * delta.view_as(weight)).to(weight.dtype)
    unmatched += [f"{name}.alpha" for name in alphas if name not in pairs]
    if unmatched:
        raise WeightsError(
            f"The LoRA does not fit Stable Diffusion 1.5's UNet: it has unexpected keys: {listed(unmatched)}."
        )
    if not pairs:
        raise WeightsError("The LoRA has no weights for Stable Diffusion 1.5's UNet; choose another file.")
    return result


def _underscored(name: str) -> str:
    return name.replace(".", "_")
