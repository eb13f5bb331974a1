"""Layouts of unmodified Stable Diffusion 1.5: a checkpoint, an IP-Adapter, an AnimateDiff motion module, a ControlNet.

All of these are for a denoiser that predicts noise. The networks for facial motion come from the shipped model and go
into the same file.
"""

from dataclasses import replace

from ..config import MINI, SD15, ClipConfig, PortraitTalkConfig, StructureConfig
from .layout import SHIPPED, Layout, Rule, Source
from .shared import MOTION_MODULES, POSITIONS

EPSILON = "epsilon"

IDENTITY_CONFIG: PortraitTalkConfig = replace(
    SD15,
    name="identity",
    crop_width=3.0,
    steps=30,
    guidance_scale=6.0,
    strength=0.5,
    structure=StructureConfig(guider="none"),
    clip=ClipConfig(),
    animate_net=replace(
        SD15.animate_net,
        branches=("text", "identity"),
        motion_modules=False,
        motion_mid_block=False,
        prediction=EPSILON,
        betas=(0.00085, 0.012),
        curve="scaled_linear",
    ),
)

ANIMATEDIFF_CONFIG = replace(
    IDENTITY_CONFIG,
    name="animatediff",
    steps=25,
    strength=0.6,
    window=16,
    overlap=4,
    speech=MINI.speech,
    motion_net=MINI.motion_net,
    structure=StructureConfig(map_channels=3, map_size=512, guider="control"),
    animate_net=replace(
        IDENTITY_CONFIG.animate_net,
        motion_modules=True,
        motion_mid_block=True,
        norm_per_frame=True,
        curve="linear",
    ),
)

# From diffusers' keys to those of the original Stable Diffusion code. Keys inside transformer blocks are the same.
LDM_UNET: tuple[Rule, ...] = (
    (r"(resnets\.\d+\.)norm1\.", r"\1in_layers.0."),
    (r"(resnets\.\d+\.)conv1\.", r"\1in_layers.2."),
    (r"(resnets\.\d+\.)norm2\.", r"\1out_layers.0."),
    (r"(resnets\.\d+\.)conv2\.", r"\1out_layers.3."),
    (r"time_emb_proj\.", "emb_layers.1."),
    (r"conv_shortcut\.", "skip_connection."),
    (r"time_embedding\.linear_1\.", "time_embed.0."),
    (r"time_embedding\.linear_2\.", "time_embed.2."),
    (r"conv_in\.", "input_blocks.0.0."),
    (r"conv_norm_out\.", "out.0."),
    (r"conv_out\.", "out.2."),
    (r"mid_block\.resnets\.0\.", "middle_block.0."),
    (r"mid_block\.attentions\.0\.", "middle_block.1."),
    (r"mid_block\.resnets\.1\.", "middle_block.2."),
    *((rf"down_blocks\.{i}\.resnets\.{j}\.", f"input_blocks.{3 * i + j + 1}.0.") for i in range(4) for j in range(2)),
    *(
        (rf"down_blocks\.{i}\.attentions\.{j}\.", f"input_blocks.{3 * i + j + 1}.1.")
        for i in range(3)
        for j in range(2)
    ),
    *((rf"down_blocks\.{i}\.downsamplers\.0\.conv\.", f"input_blocks.{3 * i + 3}.0.op.") for i in range(3)),
    *((rf"up_blocks\.{i}\.resnets\.{j}\.", f"output_blocks.{3 * i + j}.0.") for i in range(4) for j in range(3)),
    *((rf"up_blocks\.{i}\.attentions\.{j}\.", f"output_blocks.{3 * i + j}.1.") for i in range(1, 4) for j in range(3)),
    (r"up_blocks\.0\.upsamplers\.0\.", "output_blocks.2.1."),
    *((rf"up_blocks\.{i}\.upsamplers\.0\.", f"output_blocks.{3 * i + 2}.2.") for i in range(1, 3)),
)
LDM_VAE: tuple[Rule, ...] = (
    (r"down_blocks\.(\d)\.resnets\.", r"down.\1.block."),
    (r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample."),
    *((rf"up_blocks\.{i}\.resnets\.", f"up.{3 - i}.block.") for i in range(4)),
    *((rf"up_blocks\.{i}\.upsamplers\.0\.", f"up.{3 - i}.upsample.") for i in range(3)),
    (r"mid_block\.resnets\.0\.", "mid.block_1."),
    (r"mid_block\.resnets\.1\.", "mid.block_2."),
    (r"mid_block\.attentions\.0\.", "mid.attn_1."),
    (r"conv_shortcut\.", "nin_shortcut."),
    (r"conv_norm_out\.", "norm_out."),
    (r"attn_1\.group_norm\.", "attn_1.norm."),
    (r"attn_1\.to_(q|k|v)\.", r"attn_1.\1."),
    (r"attn_1\.to_out\.0\.", "attn_1.proj_out."),
)
CHECKPOINT = (
    Source(
        "animate_net.unet.",
        ("checkpoint",),
        "model.diffusion_model.",
        rules=LDM_UNET,
        only=r"(?!.*(motion_modules|\.processor)\.)",
        prediction=EPSILON,
        # values used only in training, EMA weights, and computed buffers
        ignored=r"(?!model\.diffusion_model\.|first_stage_model\.|cond_stage_model\.transformer\.)"
        r"|first_stage_model\.loss\.|.*\.position_ids$",
    ),
    Source("autoencoder.kl.", ("checkpoint",), "first_stage_model.", rules=LDM_VAE),
    Source(
        "text_encoder.clip.",
        ("checkpoint",),
        "cond_stage_model.transformer.text_model.",
        others=(((r"\.text_model\.", "."),),),
    ),
)

# IP-Adapter numbers the UNet's cross-attention layers with odd numbers: down blocks, up blocks, then the mid block.
_CROSS_ATTENTIONS = (
    *(f"down_blocks.{i}.attentions.{j}" for i in range(3) for j in range(2)),
    *(f"up_blocks.{i}.attentions.{j}" for i in range(1, 4) for j in range(3)),
    "mid_block.attentions.0",
)
IP_ATTENTION: tuple[Rule, ...] = (
    (r"\.transformer_blocks\.0\.attn2\.processor\.(to_[kv])\.identity\.", r".\1_ip."),
    *(("^" + name.replace(".", r"\."), f"ip_adapter.{2 * n + 1}") for n, name in enumerate(_CROSS_ATTENTIONS)),
)
IP_RESAMPLER: tuple[Rule, ...] = (
    (r"(layers\.\d)\.ln0\.", r"\1.0.norm1."),
    (r"(layers\.\d)\.ln1\.", r"\1.0.norm2."),
    (r"(layers\.\d)\.attn\.to_out\.0\.", r"\1.0.to_out."),
    (r"(layers\.\d)\.attn\.", r"\1.0."),
    (r"(layers\.\d)\.ff\.0\.", r"\1.1.0."),
    (r"(layers\.\d)\.ff\.1\.net\.0\.proj\.", r"\1.1.1."),
    (r"(layers\.\d)\.ff\.1\.net\.2\.", r"\1.1.3."),
)
IP_ADAPTER = (
    Source(
        "animate_net.unet.", ("ip_adapter",), rules=IP_ATTENTION, only=r".*\.attn2\.processor\.", prediction=EPSILON
    ),
    Source(
        "identity_net.resampler.",
        ("ip_adapter",),
        "image_proj.",
        rules=IP_RESAMPLER,
        fused=((r"to_kv\.", ("to_k.", "to_v.")),),
    ),
)
IMAGE_ENCODER = Source(
    "identity_net.encoder.",
    ("image_encoder",),
    "vision_model.",
    ignored=r"(?!vision_model\.)|vision_model\.embeddings\.position_ids",
)

PLAIN_MOTION: tuple[Rule, ...] = (  # motion adapters as published by diffusers: back to our own keys
    (r"attention_blocks\.0\.pos_encoder\.pe", "pos_embed.pe"),
    (r"temporal_transformer\.", ""),
    (r"attention_blocks\.0\.", "attn1."),
    (r"attention_blocks\.1\.", "attn2."),
    (r"norms\.0\.", "norm1."),
    (r"norms\.1\.", "norm2."),
    (r"ff_norm\.", "norm3."),
)
MOTION = Source(
    "animate_net.unet.",
    ("motion_module",),
    rules=MOTION_MODULES,
    others=(POSITIONS, PLAIN_MOTION),
    only=r".*\.motion_modules\.",
    prediction=EPSILON,
)
CONTROL = Source("animate_net.structure_encoder.", ("controlnet",), prediction=EPSILON)
FACE_MOTION = (
    Source("motion_net.", (SHIPPED,), "motion_net.", ignored=r"(?!motion_net\.|basis\.)"),
    Source("basis.", (SHIPPED,), "basis."),
)

# Any Stable Diffusion 1.5 checkpoint (mostly openrail), and huggingface.co/h94/IP-Adapter (Apache-2.0):
# ip-adapter-plus-face_sd15 and its image encoder
IDENTITY = Layout(IDENTITY_CONFIG, (*CHECKPOINT, *IP_ADAPTER, IMAGE_ENCODER))
# The same, plus guoyww/animatediff (Apache-2.0) mm_sd_v15_v2 or wangfuyun/AnimateLCM (Apache-2.0), and
# CrucibleAI/ControlNetMediaPipeFace diffusion_sd15 (openrail)
ANIMATEDIFF = Layout(ANIMATEDIFF_CONFIG, (*IDENTITY.sources, MOTION, CONTROL, *FACE_MOTION))
# v3_sd15_mm has no motion module in the mid block
ANIMATEDIFF_V3 = replace(
    ANIMATEDIFF,
    config=replace(
        ANIMATEDIFF_CONFIG,
        name="animatediff-v3",
        animate_net=replace(ANIMATEDIFF_CONFIG.animate_net, motion_mid_block=False),
    ),
)
