"""All layouts of public checkpoints: EchoMimic and AniPortrait here, Hallo in ``hallo``, LivePortrait in
``liveportrait``, Stable Diffusion 1.5 in ``sd15``."""

from dataclasses import replace

from ..config import MINI, SD15, ClipConfig, SpeechConfig, StructureConfig
from .hallo import HALLO
from .layout import Layout, Rule, Source
from .liveportrait import LIVEPORTRAIT
from .sd15 import ANIMATEDIFF, ANIMATEDIFF_V3, FACE_MOTION, IDENTITY
from .shared import MOTION_MODULES, POSITIONS, VAE

ECHOMIMIC = replace(
    SD15,
    name="echomimic",
    crop_width=4.5,
    steps=30,
    guidance_scale=2.5,
    overlap=3,
    speech=SpeechConfig(encoder="whisper", steps=50, dim=384, tokens=50),
    structure=StructureConfig(map_channels=1, map_size=512, guider="locator"),
    animate_net=replace(
        SD15.animate_net,
        token_dim=384,
        branches=("speech",),
        cross_attention_gain=3.0,
        reference_attention=True,
        norm_per_frame=True,
        betas=(0.00085, 0.012),
    ),
)

ECHOMIMIC_ACC = replace(ECHOMIMIC, name="echomimic-acc", steps=6, guidance_scale=1.0)

ANIPORTRAIT = replace(
    SD15,
    name="aniportrait",
    crop_width=4.5,
    steps=25,
    guidance_scale=3.5,
    window=16,
    overlap=4,
    clip=ClipConfig(image_width=1024, image_layers=24, image_heads=16, projection=768),
    speech=MINI.speech,
    motion_net=MINI.motion_net,
    structure=StructureConfig(map_channels=3, map_size=512, guider="pose"),
    animate_net=replace(
        SD15.animate_net,
        branches=("identity",),
        reference_attention=True,
        reference_token_dim=768,
        norm_per_frame=True,
        betas=(0.00085, 0.012),
        shift=0,
        noise_limit=10.0,  # never reached: no clamping
    ),
)

# Whisper with the keys of transformers or of OpenAI. The decoder and the encoder's final norm are not used.
OPENAI_WHISPER: tuple[Rule, ...] = (
    (r"^model\.", ""),
    (r"embed_positions\.weight", "positional_embedding"),
    (r"layers\.", "blocks."),
    (r"self_attn_layer_norm", "attn_ln"),
    (r"final_layer_norm", "mlp_ln"),
    (r"self_attn\.q_proj", "attn.query"),
    (r"self_attn\.k_proj", "attn.key"),
    (r"self_attn\.v_proj", "attn.value"),
    (r"self_attn\.out_proj", "attn.out"),
    (r"fc1", "mlp.0"),
    (r"fc2", "mlp.2"),
)
WHISPER = Source(
    "speech_encoder.encoder.",
    ("whisper",),
    "model.encoder.",
    others=(OPENAI_WHISPER,),
    ignored=r"model\.decoder\.|proj_out\.|decoder\.|model\.encoder\.layer_norm\.|encoder\.ln_post\.",
)


def _denoiser(*files: str) -> Source:
    return Source("animate_net.unet.", files, rules=MOTION_MODULES, others=(POSITIONS,), prediction="velocity")


FAST_DECODER = Source("fast_decoder.tiny.", ("taesd",))  # huggingface.co/madebyollin/taesd, MIT; for any layout here


def with_fast_decoder(layout: Layout) -> Layout:
    """Return the layout with the fast decoder's file added."""
    return Layout(replace(layout.config, fast_decoder=True), (*layout.sources, FAST_DECODER))


LCM_LORA = "lcm_lora"  # latent-consistency/lcm-lora-sdv1-5 (openrail), or AnimateLCM's, for models that predict noise


def with_few_steps(layout: Layout) -> Layout:
    """Return the layout for weights with a merged LCM-LoRA (Luo et al. 2023, arXiv 2311.05556)."""
    config = layout.config
    net = replace(config.animate_net, sampler="lcm")
    return replace(layout, config=replace(config, steps=6, guidance_scale=1.5, animate_net=net))


ECHOMIMIC_SOURCES = (
    _denoiser("motion_module", "denoising_unet"),
    Source("reference_net.unet.", ("reference_unet",)),
    Source("animate_net.structure_encoder.", ("face_locator",)),
    VAE,
    WHISPER,
)
ANIPORTRAIT_SOURCES = (
    _denoiser("motion_module", "denoising_unet"),
    Source("reference_net.unet.", ("reference_unet",)),
    Source("animate_net.structure_encoder.", ("pose_guider",)),
    VAE,
    Source("image_net.encoder.", ("image_encoder",), "vision_model.", ignored=r".*\.position_ids$|visual_projection\."),
    Source("image_net.projection.", ("image_encoder",), "visual_projection."),
    *FACE_MOTION,
)

LAYOUTS = {
    layout.config.name: layout
    for layout in (
        # huggingface.co/BadToBest/EchoMimic, both variants Apache-2.0; stabilityai/sd-vae-ft-mse, MIT;
        # openai/whisper-tiny, Apache-2.0
        Layout(ECHOMIMIC, ECHOMIMIC_SOURCES),
        Layout(ECHOMIMIC_ACC, ECHOMIMIC_SOURCES),
        # huggingface.co/ZJYang/AniPortrait, Apache-2.0; image_encoder of
        # lambdalabs/sd-image-variations-diffusers, openrail
        Layout(ANIPORTRAIT, ANIPORTRAIT_SOURCES),
        HALLO,
        LIVEPORTRAIT,
        IDENTITY,
        ANIMATEDIFF,
        ANIMATEDIFF_V3,
    )
}
