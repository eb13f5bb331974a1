"""The networks of one PortraitTalk, together."""

from dataclasses import dataclass
from pathlib import Path

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

FACE_MOTION = ("motion_net", "basis")
VOCABULARY = "clip-tokenizer"  # the folder's name


@dataclass(frozen=True)
class Networks:
    """What every model has."""

    config: PortraitTalkConfig
    autoencoder: Autoencoder
    animate_net: AnimateNet

    def modules(self) -> dict[str, nn.Module]:
        """The networks by name, which is also the prefix of their keys in a weights file."""
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}

    @property
    def device(self) -> torch.device:
        """Where the animation runs: the device of AnimateNet's parameters."""
        return next(self.animate_net.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of AnimateNet's parameters, and of all others."""
        return next(self.animate_net.parameters()).dtype


@dataclass(frozen=True)
class Model(Networks):
    """Everything that ``load_model`` reads from one file, ready to be handed to ``portraittalk.pipeline``."""

    identity_net: IdentityNet
    motion_net: MotionNet
    basis: FaceBasis


@dataclass(frozen=True)
class ReferenceModel(Networks):
    """A model filled from public weights: the person enters by reference attention, the motion by speech features or
    drawn poses.

    speech_encoder: None where the denoiser does not hear. image_net, motion_net, basis: what a denoiser that follows
    poses sees the person by, and what makes the poses; None for others. face_tokens: what makes identity tokens of the
    embedding of a face, in models that want one. fast_decoder: for previews, and for frames where the settings ask for
    it; None where the file has none.
    """

    reference_net: ReferenceNet
    speech_encoder: SpeechEncoder | None
    fast_decoder: FastDecoder | None
    image_net: ClipImageNet | None = None
    motion_net: MotionNet | None = None
    basis: FaceBasis | None = None
    face_tokens: FaceProjection | None = None


@dataclass(frozen=True)
class PromptModel(Networks):
    """A model around an unmodified Stable Diffusion 1.5: prompts and the person act inside of its denoiser.

    motion_net, basis: None where the denoiser has no motion modules, and edits pictures only. vocabulary: the folder
    in which CLIP's tokenizer is looked for.
    """

    identity_net: ClipIdentityNet
    text_encoder: TextEncoder
    motion_net: MotionNet | None
    basis: FaceBasis | None
    fast_decoder: FastDecoder | None
    vocabulary: Path


def build(config: PortraitTalkConfig, folder: Path = Path()) -> Model | ReferenceModel | PromptModel:
    """The networks with the random weights of their initialisation, on torch's default device. folder: of the user's
    files, which the tokenizer of a model that reads prompts is among."""
    if config.animate_net.reference_attention:
        return build_reference_model(config)
    return build_model(config) if config.clip is None else build_prompt_model(config, folder)


def build_model(config: PortraitTalkConfig) -> Model:
    """The networks with the random weights of their initialisation, on torch's default device."""
    return Model(
        config=config,
        autoencoder=Autoencoder(config.autoencoder),
        identity_net=IdentityNet(config.identity_net, config.animate_net.token_dim),
        animate_net=AnimateNet(config),
        motion_net=MotionNet(config),
        basis=FaceBasis(),
    )


def build_reference_model(config: PortraitTalkConfig) -> ReferenceModel:
    """As ``build_model``, for a configuration with reference attention."""
    follows, wanted = config.structure.guider == "pose", config.face_embedding
    return ReferenceModel(
        config=config,
        autoencoder=Autoencoder(config.autoencoder),
        animate_net=AnimateNet(config),
        reference_net=ReferenceNet(config.animate_net, config.autoencoder.latent_channels),
        speech_encoder=SpeechEncoder(config.speech) if "speech" in config.animate_net.branches else None,
        fast_decoder=FastDecoder() if config.fast_decoder else None,
        image_net=None if config.clip is None else ClipImageNet(config.clip),
        motion_net=MotionNet(config) if follows else None,
        basis=FaceBasis() if follows else None,
        face_tokens=FaceProjection(wanted, config.animate_net.token_dim) if wanted else None,
    )


def build_prompt_model(config: PortraitTalkConfig, folder: Path = Path()) -> PromptModel:
    """As ``build``, for a configuration with CLIP."""
    assert config.clip is not None
    moves = config.animate_net.motion_modules
    return PromptModel(
        config=config,
        autoencoder=Autoencoder(config.autoencoder),
        animate_net=AnimateNet(config),
        identity_net=ClipIdentityNet(config.clip, config.animate_net.token_dim),
        text_encoder=TextEncoder(config.clip),
        motion_net=MotionNet(config) if moves else None,
        basis=FaceBasis() if moves else None,
        fast_decoder=FastDecoder() if config.fast_decoder else None,
        vocabulary=folder / VOCABULARY,
    )


def networks_of(config: PortraitTalkConfig) -> dict[str, nn.Module]:
    """The networks that a configuration describes, by name."""
    return build(config).modules()
