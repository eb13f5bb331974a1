"""Names that several families of public checkpoints have in common."""

from .layout import Rule, Source

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
VAE = Source("autoencoder.kl.", ("vae",), others=(OLD_ATTENTION,))
