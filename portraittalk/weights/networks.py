"""Build the networks of a configuration; its kind decides which ones there are.

The networks are imported where they are built, because most are made of diffusers' layers, whose import takes seconds.
"""

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import nn

from ..config import PortraitTalkConfig
from ..precision import computes_bf16

FACE_MOTION = ("motion_net", "basis")  # networks that generate motion and move landmarks
KEYPOINTS = ("motion_extractor", "retargeting")  # LivePortrait's networks whose results are places
SINGLE = (*FACE_MOTION, *KEYPOINTS)  # that always run in single precision, in models of public weights
DRAWING = ("autoencoder", "animate_net", "difference_decoder")


def build_networks(config: PortraitTalkConfig) -> dict[str, nn.Module]:
    """Return the networks by name, randomly initialised, on torch's default device.

    The name is also the prefix of the network's keys in a weights file.
    """
    networks: dict[str, nn.Module] = {}
    if config.kind != "keypoints":
        _add_diffusion(networks, config)
    add = {
        "window": _add_own,
        "crop": _add_own,
        "reference": _add_reference,
        "prompt": _add_prompt,
        "keypoints": _add_liveportrait,
    }[config.kind]
    add(networks, config)
    return networks


@lru_cache(maxsize=8)
def empty_networks(config: PortraitTalkConfig) -> Mapping[str, nn.Module]:
    """Return the networks on the meta device, for the keys and shapes of their tensors.

    Building them takes a second at full size, so that they are kept: they must not be changed.
    """
    with torch.device("meta"):
        return build_networks(config)


def _add_diffusion(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    from ..models.animate_net import AnimateNet
    from ..models.autoencoder import Autoencoder

    networks["autoencoder"], networks["animate_net"] = Autoencoder(config.autoencoder), AnimateNet(config)


def _add_own(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    from ..models.identity_net import IdentityNet

    networks["identity_net"] = IdentityNet(config.identity_net, config.animate_net.token_dim)
    if config.difference_decoder is not None:
        from ..models.difference_decoder import DifferenceDecoder

        networks["difference_decoder"] = DifferenceDecoder(config.difference_decoder, config.autoencoder)
    _add_motion(networks, config)


def _add_reference(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    from ..models.audio_modules import FaceProjection
    from ..models.autoencoder import FastDecoder
    from ..models.clip_net import ClipImageNet
    from ..models.reference_net import ReferenceNet
    from ..models.speech_encoder import SpeechEncoder

    networks["reference_net"] = ReferenceNet(config.animate_net, config.autoencoder.latent_channels)
    if config.makes_motion:
        networks["speech_encoder"] = SpeechEncoder(config.speech)
    if config.fast_decoder:
        networks["fast_decoder"] = FastDecoder()
    if config.clip is not None:
        networks["image_net"] = ClipImageNet(config.clip)
    if config.structure.guider == "pose":
        _add_motion(networks, config)
    if config.face_embedding:
        networks["face_tokens"] = FaceProjection(config.face_embedding, config.animate_net.token_dim)


def _add_prompt(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    from ..models.autoencoder import FastDecoder
    from ..models.clip_net import ClipIdentityNet, TextEncoder

    assert config.clip is not None
    networks["identity_net"] = ClipIdentityNet(config.clip, config.animate_net.token_dim)
    networks["text_encoder"] = TextEncoder(config.clip)
    if config.animate_net.motion_modules:
        _add_motion(networks, config)
    if config.fast_decoder:
        networks["fast_decoder"] = FastDecoder()


def _add_liveportrait(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    from ..models.liveportrait.appearance import AppearanceExtractor
    from ..models.liveportrait.generator import SpadeGenerator
    from ..models.liveportrait.motion import MotionExtractor
    from ..models.liveportrait.retargeting import Retargeting
    from ..models.liveportrait.warping import WarpingModule

    assert config.liveportrait is not None
    networks["appearance"] = AppearanceExtractor(config.liveportrait)
    networks["motion_extractor"] = MotionExtractor(config.liveportrait)
    networks["warping"] = WarpingModule(config.liveportrait)
    networks["generator"] = SpadeGenerator(config.liveportrait)
    networks["retargeting"] = Retargeting(config.liveportrait)
    _add_motion(networks, config)


def _add_motion(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    from ..models.face_basis import FaceBasis
    from ..models.motion_net import MotionNet

    networks["motion_net"], networks["basis"] = MotionNet(config), FaceBasis()


def settle(
    config: PortraitTalkConfig,
    networks: Mapping[str, nn.Module],
    device: torch.device | str,
    dtype: torch.dtype | None = None,
) -> None:
    """Move loaded networks to a device, in evaluation mode and without gradients.

    dtype: by default single precision, but half precision for public weights on a GPU, and bf16 for networks that draw
    the mouth window on a CPU that computes it natively (decided by what the processor has and not by timing it, so that
    frames stay the same). Networks for landmarks and keypoints (``SINGLE``) stay in single precision, and so does our
    own IdentityNet: its features exceed the range of fp16.
    """
    is_own, device = config.kind in ("window", "crop"), torch.device(device)
    for name, module in networks.items():
        module.to(device, dtype or _usual_dtype(config, name, device)).eval().requires_grad_(False)
        if name in SINGLE or (is_own and name == "identity_net"):
            module.float()


def _usual_dtype(config: PortraitTalkConfig, name: str, device: torch.device) -> torch.dtype:
    if config.kind == "window":
        fast = name in DRAWING and device.type == "cpu" and computes_bf16(device)
        return torch.bfloat16 if fast else torch.float32
    return torch.float32 if config.kind == "crop" or device.type == "cpu" or name in SINGLE else torch.float16
