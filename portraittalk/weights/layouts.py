"""Public checkpoints as data: which of their keys fill which of ours.

A layout is a configuration and, for each network, where its keys come from. The rules go from our key to the public
one: what our networks ask for and a file lacks, and what a file holds and nothing asks for, are then both known by the
names that the public file uses.
"""

from dataclasses import dataclass, replace

from ..config import SD15, PortraitTalkConfig, SpeechConfig, StructureConfig

Rule = tuple[str, str]  # a regular expression over the key so far, and what replaces it


@dataclass(frozen=True)
class Source:
    """Where a network's keys come from.

    ours: how our keys begin. files: names of public files whose tensors are taken together; where two hold one key, the
    later counts. theirs: how their keys begin. rules: turn our key, so begun, into the public one, one after the other.
    others: turn that one into a further name under which it is published, or held a second time. ignored: a regular
    expression of the beginnings of public keys that the network has no use for.
    """

    ours: str
    files: tuple[str, ...]
    theirs: str = ""
    rules: tuple[Rule, ...] = ()
    others: tuple[Rule, ...] = ()
    ignored: str = "(?!)"


@dataclass(frozen=True)
class Layout:
    """A family of public checkpoints, by the name of its configuration."""

    config: PortraitTalkConfig
    sources: tuple[Source, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the public files, each once."""
        return tuple(dict.fromkeys(file for source in self.sources for file in source.files))


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
    structure=StructureConfig(map_channels=3, map_size=512, guider="pose"),
    animate_net=replace(
        SD15.animate_net,
        branches=("identity",),
        reference_attention=True,
        reference_token_dim=768,
        norm_per_frame=True,
        betas=(0.00085, 0.012),
    ),
)

# AnimateDiff's names of what diffusers' `UNetMotionModel` holds. Each of its two attentions has its own copy of the
# positions, which are computed, not trained, and alike.
MOTION_MODULES: tuple[Rule, ...] = (
    (r"(motion_modules\.\d+)\.", r"\1.temporal_transformer."),
    (r"(temporal_transformer\..*)attn1\.", r"\1attention_blocks.0."),
    (r"(temporal_transformer\..*)attn2\.", r"\1attention_blocks.1."),
    (r"(temporal_transformer\..*)norm1\.", r"\1norms.0."),
    (r"(temporal_transformer\..*)norm2\.", r"\1norms.1."),
    (r"(temporal_transformer\..*)norm3\.", r"\1ff_norm."),
    (r"pos_embed\.pe$", "attention_blocks.0.pos_encoder.pe"),
)
POSITIONS: tuple[Rule, ...] = ((r"attention_blocks\.0\.pos_encoder", "attention_blocks.1.pos_encoder"),)

# The autoencoder of Stable Diffusion, in diffusers' layout; published files may still have older names of attention.
OLD_ATTENTION: tuple[Rule, ...] = (
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.0\.", ".proj_attn."),
)
VAE = Source("autoencoder.kl.", ("vae",), others=OLD_ATTENTION)

# Whisper in transformers' layout, or in OpenAI's. The decoder is of no use here, and the last norm is left out.
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
    others=OPENAI_WHISPER,
    ignored=r"model\.decoder\.|proj_out\.|decoder\.|model\.encoder\.layer_norm\.|encoder\.ln_post\.",
)


def _denoiser(*files: str) -> Source:
    return Source("animate_net.unet.", files, rules=MOTION_MODULES, others=POSITIONS)


FAST_DECODER = Source("fast_decoder.tiny.", ("taesd",))  # huggingface.co/madebyollin/taesd, MIT; for any layout here


def with_fast_decoder(layout: Layout) -> Layout:
    """The layout with one more file."""
    return Layout(replace(layout.config, fast_decoder=True), (*layout.sources, FAST_DECODER))


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
)

LAYOUTS = {
    layout.config.name: layout
    for layout in (
        # huggingface.co/BadToBest/EchoMimic, both variants Apache-2.0; stabilityai/sd-vae-ft-mse, MIT;
        # openai/whisper-tiny, Apache-2.0
        Layout(ECHOMIMIC, ECHOMIMIC_SOURCES),
        Layout(ECHOMIMIC_ACC, ECHOMIMIC_SOURCES),
        # huggingface.co/ZJYang/AniPortrait, Apache-2.0
        Layout(ANIPORTRAIT, ANIPORTRAIT_SOURCES),
    )
}
