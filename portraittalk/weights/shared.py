"""Key rules shared by several families of public checkpoints."""

from .layout import Rule, Source

# From the keys of diffusers' `UNetMotionModel` to AnimateDiff's, whose two attention layers each have a copy of the
# positional encodings; the copies are equal, and computed rather than trained.
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

# Stable Diffusion's autoencoder with diffusers' keys; some published files have the older names of attention layers.
OLD_ATTENTION: tuple[Rule, ...] = (
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.0\.", ".proj_attn."),
)
VAE = Source("autoencoder.kl.", ("vae",), others=(OLD_ATTENTION,))
