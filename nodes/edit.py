"""The node that edits the portrait by a prompt, with a Stable Diffusion 1.5 model loaded by core nodes."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..portraittalk.compositing.compose import CropData
from ..portraittalk.face.align import aligned_crop, from_crop
from ..portraittalk.progress import Progress
from ..portraittalk.sampling.settings import check_settings, usual_settings
from ..portraittalk.types import Identity, Scales, image_size
from . import convert, widgets
from .host import models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, IdentitySocket

if TYPE_CHECKING:
    from ..portraittalk.models.animate_net import AnimateNet

FACE, WHOLE = "around the face", "whole picture"


class IdentityEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        adapters = models.list_adapters()
        return io.Schema(
            node_id="PortraitTalkIdentityEdit",
            display_name="PortraitTalk Identity Edit",
            category=CATEGORY,
            description=(
                "Changes the portrait by a prompt and keeps the person: image to image with any Stable Diffusion 1.5 "
                "checkpoint and IP-Adapter Plus Face. Encode the resulting picture with Identity Encode to animate it."
            ),
            search_aliases=["ip adapter", "img2img", "style", "prompt", "stable diffusion", "restyle", "ipadapter"],
            inputs=[
                IdentitySocket.Input(
                    "identity", tooltip="From PortraitTalk Identity Encode: the portrait and all reference pictures."
                ),
                io.Model.Input(
                    "model",
                    tooltip="A Stable Diffusion 1.5 model from core's Load Checkpoint, with or without LoRAs.",
                ),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.ClipVision.Input("clip_vision", tooltip="CLIP-ViT-H-14 from core's Load CLIP Vision."),
                io.Combo.Input(
                    "ip_adapter",
                    options=adapters,
                    tooltip="IP-Adapter file in models/ipadapter: ip-adapter-plus-face_sd15.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="",
                    tooltip="What the picture should show. Weights such as (word:1.2) and embeddings work.",
                ),
                io.String.Input(
                    "negative_prompt",
                    multiline=True,
                    default="",
                    tooltip="What the picture should not show. Has no effect at a guidance_scale of 1.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How far the result may differ from the portrait: 0 leaves it unchanged, 1 keeps only the "
                        "person. 0.5 is typical."
                    ),
                ),
                io.Combo.Input(
                    "redraw",
                    options=[FACE, WHOLE],
                    tooltip=(
                        f"'{FACE}': a square around the face, in full detail. '{WHOLE}': everything, computed at up to "
                        "768 pixels on the longer side, so large pictures lose detail."
                    ),
                ),
                io.Float.Input(
                    "identity_scale",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip=(
                        "How strongly the person is preserved (strength of the IP-Adapter): 1 is typical, 0 is off."
                    ),
                ),
                io.Float.Input(
                    "guidance_scale",
                    default=6.0,
                    min=1.0,
                    max=20.0,
                    step=0.5,
                    advanced=True,
                    tooltip=(
                        "Classifier-free guidance: how strongly the prompt is followed and the negative prompt avoided."
                        " 6 is typical, 1 is off."
                    ),
                ),
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=100,
                    advanced=True,
                    tooltip=(
                        "Number of denoising steps at a strength of 1; lower strengths take that share of them. 30 is "
                        "typical."
                    ),
                ),
                widgets.seed("Seed of the sampling noise; the same seed gives the same picture."),
            ],
            outputs=[
                io.Image.Output(
                    "image", display_name="image", tooltip="The edited portrait, at the size of the original."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        identity: Identity,
        model: Any,
        clip: Any,
        vae: Any,
        clip_vision: Any,
        ip_adapter: str,
        prompt: str,
        negative_prompt: str,
        strength: float,
        redraw: str,
        identity_scale: float,
        guidance_scale: float,
        steps: int,
        seed: int,
    ) -> io.NodeOutput:
        from ..portraittalk.models.animate_net import Conditions
        from ..portraittalk.models.clip_net import MEAN
        from ..portraittalk.pipelines.prompt import edit_picture
        from ..portraittalk.sampling.steps import epsilon_steps
        from ..portraittalk.weights.editor import assemble_editor

        editor = assemble_editor(
            models.unet_tensors(model), models.adapter_tensors(ip_adapter), models.unet_dtype(model)
        )
        settings = replace(
            usual_settings(editor.config),
            seed=seed,
            steps=steps,
            strength=strength,
            guidance_scale=guidance_scale,
            scales=Scales(identity=identity_scale),
        )
        check_settings(settings, editor.config)
        text, negative = (models.text_tokens(clip, words) for words in (prompt, negative_prompt))
        blank = torch.tensor(MEAN).expand(1, 224, 224, 3)  # becomes zeros after CLIP's normalisation
        references = convert.to_comfy(identity.references)
        features, uncond_features = (models.image_features(clip_vision, image) for image in (references, blank))
        data = _crop_data(identity, editor.config.crop_size, editor.config.crop_width)
        patcher = models.managed(editor.net, data.crop.size**2)
        net: AnimateNet = patcher.model
        weight = next(net.parameters())
        cond = Conditions(text=text.to(weight), identity=editor.tokens(features)[None].to(weight))
        uncond = Conditions(text=negative.to(weight), identity=editor.tokens(uncond_features)[None].to(weight))
        total = len(epsilon_steps(net.config, steps, strength)) if strength else 0
        progress, done = HostProgress(NodeText(cls)), 0

        def on_step(clean: Tensor) -> None:
            nonlocal done
            done += 1
            progress(Progress("edit", done, total))

        coder = _Coder(vae, weight.device)
        edited = edit_picture(net, coder, data, cond, uncond, settings, redraw == WHOLE, on_step)
        return io.NodeOutput(convert.to_comfy(edited[None], models.output_device()))


@dataclass(frozen=True)
class _Coder:
    """A ``Coder`` around core's VAE, whose latents lack Stable Diffusion's scaling factor."""

    vae: Any
    device: torch.device

    def encode(self, images: Tensor) -> Tensor:
        return models.SD15_LATENT_SCALE * self.vae.encode(convert.to_comfy(images)).float().to(self.device)

    def decode(self, latents: Tensor) -> Tensor:
        return convert.to_library(self.vae.decode(latents / models.SD15_LATENT_SCALE))


def _crop_data(identity: Identity, size: int, width: float) -> CropData:
    """Return the portrait with the face crop for Stable Diffusion: ``size`` pixels, ``width`` eye distances wide.

    It is larger than the identity's own crop and includes more of the surroundings.
    """
    landmarks = from_crop(identity.landmarks, identity.crop).cpu()
    portrait = identity.portrait.cpu()
    return CropData(portrait, aligned_crop(landmarks, image_size(portrait), size, width))
