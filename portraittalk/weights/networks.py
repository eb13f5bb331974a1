"""The networks that a configuration describes, by name: which there are depends on its kind."""

from collections.abc import Mapping

import torch
from torch import nn

from ..config import PortraitTalkConfig
from ..models.animate_net import AnimateNet
from ..models.audio_modules import FaceProjection
from ..models.autoencoder import Autoencoder, FastDecoder
from ..models.clip_net import ClipIdentityNet, ClipImageNet, TextEncoder
from ..models.face_basis import FaceBasis
from ..models.identity_net import IdentityNet
from ..models.motion_net import MotionNet
from ..models.reference_net import ReferenceNet
from ..models.speech_encoder import SpeechEncoder

FACE_MOTION = ("motion_net", "basis")  # networks that make and move landmarks


def build_networks(config: PortraitTalkConfig) -> dict[str, nn.Module]:
    """The networks by name, with the random weights of their initialisation, on torch's default device.

    A name is also the prefix of the network's keys in a weights file.
    """
    networks: dict[str, nn.Module] = {
        "autoencoder": Autoencoder(config.autoencoder),
        "animate_net": AnimateNet(config),
    }
    add = {"mini": _add_mini, "reference": _add_reference, "prompt": _add_prompt}[config.kind]
    add(networks, config)
    return networks


def _add_mini(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    networks["identity_net"] = IdentityNet(config.identity_net, config.animate_net.token_dim)
    _add_motion(networks, config)


def _add_reference(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
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
    assert config.clip is not None
    networks["identity_net"] = ClipIdentityNet(config.clip, config.animate_net.token_dim)
    networks["text_encoder"] = TextEncoder(config.clip)
    if config.animate_net.motion_modules:
        _add_motion(networks, config)
    if config.fast_decoder:
        networks["fast_decoder"] = FastDecoder()


def _add_motion(networks: dict[str, nn.Module], config: PortraitTalkConfig) -> None:
    networks["motion_net"], networks["basis"] = MotionNet(config), FaceBasis()


def settle(
    config: PortraitTalkConfig,
    networks: Mapping[str, nn.Module],
    device: torch.device | str,
    dtype: torch.dtype | None = None,
) -> None:
    """Move filled networks to the device where they run, in evaluation mode.

    dtype: by default single precision, but half precision for public weights on a GPU. What moves landmarks, and is no
    larger than in ``mini``, stays in single precision.
    """
    own = config.kind == "mini"
    if dtype is None:
        dtype = torch.float32 if own or torch.device(device).type == "cpu" else torch.float16
    for name, module in networks.items():
        single = not own and name in FACE_MOTION
        module.to(device, torch.float32 if single else dtype).eval().requires_grad_(False)
