"""Layout of the Hallo checkpoint (huggingface.co/fudan-generative-ai/hallo, MIT): one file with all networks except
the autoencoder.

Two further inputs of Hallo are not implemented here: the ArcFace face embedding, whose weights are for research only,
and wav2vec 2.0 features.
"""

from dataclasses import replace

from ..config import SD15, PortraitTalkConfig, SpeechConfig, StructureConfig
from .layout import Layout, Rule, Source
from .shared import MOTION_MODULES, POSITIONS, VAE

AUDIO_FRAMES, WAV2VEC_LAYERS = 5, 12  # a video frame with its neighbours; layers of wav2vec 2.0 for each of them

CONFIG: PortraitTalkConfig = replace(
    SD15,
    name="hallo",
    crop_width=3.5,
    steps=40,
    guidance_scale=3.5,
    window=16,
    overlap=0,
    speech=SpeechConfig(encoder="wav2vec", steps=AUDIO_FRAMES * WAV2VEC_LAYERS, dim=768, tokens=32),
    face_embedding=512,
    structure=StructureConfig(map_channels=3, map_size=512, guider="locator", locator_widths=(16, 32, 64, 128)),
    animate_net=replace(
        SD15.animate_net,
        branches=("identity",),
        audio_modules=True,
        reference_attention=True,
        reference_token_dim=768,
        norm_per_frame=True,
        betas=(0.00085, 0.012),
    ),
)

AUDIO_MODULES: tuple[Rule, ...] = ((r"attentions\.(\d+)\.audio\.", r"audio_modules.\1."),)

HALLO = Layout(
    CONFIG,
    (
        Source(
            "animate_net.unet.",
            ("net",),
            "denoising_unet.",
            rules=(*MOTION_MODULES, *AUDIO_MODULES),
            others=(POSITIONS,),
            prediction="velocity",
        ),
        Source("reference_net.unet.", ("net",), "reference_unet."),
        Source("animate_net.structure_encoder.", ("net",), "face_locator."),
        Source("animate_net.speech_tokens.", ("net",), "audioproj."),
        Source("face_tokens.", ("net",), "imageproj."),
        VAE,
    ),
)
