"""One configuration describes `mini` and the Stable Diffusion 1.5 size alike: the same classes, other numbers."""

from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from typing_extensions import Self

T = TypeVar("T")


@dataclass(frozen=True)
class AutoencoderConfig:
    """A KL autoencoder on patches: ``patch_size`` pixels a side are folded into channels before the first convolution.

    With patch_size 1 it is exactly the autoencoder of Stable Diffusion. ``factor`` crop pixels make one latent.
    """

    patch_size: int = 4
    latent_channels: int = 32
    block_out_channels: tuple[int, ...] = (64, 96, 128)
    layers_per_block: int = 1
    norm_num_groups: int = 16
    mid_attention: bool = False
    scaling_factor: float = 0.62092

    @property
    def factor(self) -> int:
        return self.patch_size * 2 ** (len(self.block_out_channels) - 1)


@dataclass(frozen=True)
class IdentityNetConfig:
    """Reference crop -> frozen identity features -> ``tokens`` identity tokens of ``AnimateNetConfig.token_dim``."""

    input_size: int = 128
    widths: tuple[int, ...] = (48, 96, 144, 192)
    embedding_dim: int = 128
    tokens: int = 16
    heads: int = 4
    depth: int = 2


@dataclass(frozen=True)
class SpeechConfig:
    """Speech features: per video frame ``steps`` steps of ``dim`` values (mini: log-mel, ``hop`` samples apart).

    encoder: "mel", whose steps a small network of AnimateNet's reads, "whisper", whose features are tokens already, or
    "wav2vec", of whose layers and of neighbouring frames Hallo's network makes tokens.
    """

    encoder: str = "mel"
    sample_rate: int = 16000
    hop: int = 160
    steps: int = 20
    dim: int = 80
    tokens: int = 5


@dataclass(frozen=True)
class MotionNetConfig:
    """Speech features -> expression coefficients: a temporal convolution network."""

    width: int = 160
    layers: int = 6
    phones: int = 40


@dataclass(frozen=True)
class StructureConfig:
    """The landmark map, the coefficients behind the structure tokens, and the resolution of the warp.

    guider: what reads the map. "beside": a small encoder whose features stand beside the noisy latents, as the warped
    reference's do. "locator" (EchoMimic's, of ``locator_widths``), "pose" (AniPortrait's) and "control" (a ControlNet
    with a stem of ``locator_widths``): features that are added inside of the denoiser, beside whose noisy latents
    nothing stands. "none": there is no map.
    """

    map_channels: int = 8
    map_size: int = 64
    coefficients: int = 64
    tokens: int = 4
    flow_size: int = 64
    guider: str = "beside"
    locator_widths: tuple[int, ...] = (16, 32, 96, 256)


@dataclass(frozen=True)
class AnimateNetConfig:
    """The denoising video UNet; the names are those of diffusers' ``UNetMotionModel``.

    branches: what the cross-attention has keys and values for; the first uses the layer's own, those of an unmodified
    Stable Diffusion. cross_attention_gain: what its result is multiplied by. reference_attention: self-attention sees
    the features of a reference network, whose own cross-attention, if any, takes tokens ``reference_token_dim`` wide.
    norm_per_frame: the norm that opens a motion module takes each frame alone, as in AnimateDiff's own code; diffusers'
    takes all frames of a window together. motion_modules: without them, frames are pictures that know nothing of each
    other. audio_modules: speech comes in by modules of its own, as in Hallo. prediction: "velocity" or "epsilon", what
    it was trained to say of noisy latents: weights for the one are useless for the other. betas: first and last of the
    noise schedule it was trained with, curve: how it goes between them, "linear" or "scaled_linear". sampler: "ddim",
    or "lcm" for weights distilled to few steps; both are for epsilon. Those that predict velocity have schedules of
    their own. shift: frames by which the windows of a clip that is sampled as a whole move on at each step.
    noise_limit: what the noise it begins with is clamped to.
    """

    block_out_channels: tuple[int, ...] = (64, 96, 128)
    layers_per_block: int = 1
    attention_head_dim: int = 4  # heads per block: the name is diffusers' own, the meaning that of Stable Diffusion 1.5
    norm_num_groups: int = 16
    token_dim: int = 128
    text_dim: int = 384
    motion_max_seq_length: int = 32
    motion_num_attention_heads: int = 4
    motion_mid_block: bool = True
    branches: tuple[str, ...] = ("text", "identity", "speech", "structure")
    cross_attention_gain: float = 1.0
    reference_attention: bool = False
    reference_token_dim: int = 0
    norm_per_frame: bool = False
    motion_modules: bool = True
    audio_modules: bool = False
    prediction: str = "velocity"
    betas: tuple[float, float] = (0.0001, 0.02)
    curve: str = "linear"
    sampler: str = "ddim"
    shift: int = 2
    noise_limit: float = 1.5
    residual: bool = (
        True  # the latents that are diffused are the difference to the warped reference's, times residual_scale
    )
    residual_scale: float = 7.0


@dataclass(frozen=True)
class ClipConfig:
    """What Stable Diffusion 1.5 and an IP-Adapter see the world by: CLIP's text encoder (text_*, with ``words`` pieces
    of words, of which a text has ``longest``), CLIP's image encoder (image_*), and the resampler that makes ``tokens``
    identity tokens of its features. With a ``projection`` there is the image encoder alone, and what it ends in: one
    token of that width."""

    words: int = 49408
    longest: int = 77
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    image_size: int = 224
    image_patch: int = 14
    image_width: int = 1280
    image_layers: int = 32
    image_heads: int = 16
    resampler_width: int = 768
    resampler_heads: int = 12
    tokens: int = 16
    projection: int = 0


@dataclass(frozen=True)
class PortraitTalkConfig:
    """Everything needed to build the networks of one PortraitTalk, and what they are best run with.

    crop_size: side of the aligned crop in pixels. crop_width: that side in distances between the outer eye corners.
    steps, guidance_scale, strength, window, overlap: of sampling, where the user asks for nothing else. fast_decoder:
    there is a second, smaller decoder of Stable Diffusion's latents. painted_mouth: share of a painted mouth in what is
    drawn between lips that the portrait keeps closed; 0 for networks that draw sharp teeth by themselves. clip: of an
    unmodified Stable Diffusion 1.5, which reads prompts itself, or of a model that sees the person by CLIP's image
    encoder; None for all others. face_embedding: values of the embedding of a face (ArcFace's) of which identity tokens
    are made, if any are.
    """

    name: str = "mini"
    crop_size: int = 256
    crop_width: float = 2.5
    steps: int = 1
    guidance_scale: float = 1.0
    strength: float = 1.0
    window: int = 12
    overlap: int = 4
    fast_decoder: bool = False
    painted_mouth: float = 0.75
    clip: ClipConfig | None = None
    face_embedding: int = 0
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    identity_net: IdentityNetConfig = field(default_factory=IdentityNetConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    motion_net: MotionNetConfig = field(default_factory=MotionNetConfig)
    structure: StructureConfig = field(default_factory=StructureConfig)
    animate_net: AnimateNetConfig = field(default_factory=AnimateNetConfig)

    @property
    def kind(self) -> str:
        """Which pipeline runs the model: "mini", "reference" (reference attention) or "prompt" (Stable Diffusion)."""
        if self.animate_net.reference_attention:
            return "reference"
        return "mini" if self.clip is None else "prompt"

    @property
    def makes_motion(self) -> bool:
        """Whether the denoiser makes the motion from speech itself, so that prompts and motion tracks do not act."""
        return self.kind == "reference" and "speech" in self.animate_net.branches

    @property
    def latent_size(self) -> int:
        return self.crop_size // self.autoencoder.factor

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``, also through JSON. Raises TypeError for a key that does not exist."""
        parts = {f: t for f, t in _PARTS.items() if values.get(f) is not None}
        built: dict[str, Any] = {name: rebuilt(kind, values[name]) for name, kind in parts.items()}
        return cls(**{**values, **built})


_PARTS: dict[str, type] = {
    "autoencoder": AutoencoderConfig,
    "identity_net": IdentityNetConfig,
    "speech": SpeechConfig,
    "motion_net": MotionNetConfig,
    "structure": StructureConfig,
    "animate_net": AnimateNetConfig,
    "clip": ClipConfig,
}


def rebuilt(kind: type[T], values: dict[str, Any]) -> T:
    """A configuration out of what ``asdict`` made of it, also through JSON. Raises TypeError for a key too many."""
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


MINI = PortraitTalkConfig()

SD15 = PortraitTalkConfig(
    name="sd15",
    crop_size=512,
    painted_mouth=0.0,
    autoencoder=AutoencoderConfig(
        patch_size=1,
        latent_channels=4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        norm_num_groups=32,
        mid_attention=True,
        scaling_factor=0.18215,
    ),
    identity_net=IdentityNetConfig(input_size=224, embedding_dim=512, tokens=16, heads=12, depth=4),
    speech=SpeechConfig(steps=50, dim=384, tokens=50),
    structure=StructureConfig(map_size=512),
    animate_net=AnimateNetConfig(
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        attention_head_dim=8,
        norm_num_groups=32,
        token_dim=768,
        text_dim=768,
        motion_num_attention_heads=8,
        residual=False,
    ),
)


@dataclass(frozen=True)
class FaceDetectorConfig:
    """Where faces are in a picture, seen at ``input_size`` pixels: scores and keypoints for every ``stride`` pixels."""

    input_size: int = 160
    widths: tuple[int, ...] = (32, 48, 64, 96)
    stride: int = 8
    keypoints: int = 4


@dataclass(frozen=True)
class FaceMeshConfig:
    """The 478 landmarks of the face in an upright crop of ``input_size`` pixels.

    code: values between the features of the whole crop and the landmarks. detail: features by which each landmark is
    then refined where it lies.
    """

    input_size: int = 192
    widths: tuple[int, ...] = (48, 96, 128, 192)
    code: int = 384
    detail: int = 32
    points: int = 478
    blendshapes: int = 52


@dataclass(frozen=True)
class LookConfig:
    """The network that gives a picture a look, and the one that reads looks from sentences of ``dim`` values.

    looks: their names, of which the first ``lights`` change light and colours and can be taken away; the others are
    ways to draw. paper: side of its tile. face_size: side of an aligned crop in the pixels that LookNet works on;
    strokes have one width there.
    """

    looks: tuple[str, ...] = ()
    lights: int = 0
    width: int = 64
    dilations: tuple[int, ...] = (1, 2, 2, 1)
    fold: int = 4
    embedding: int = 48
    paper: int = 128
    face_size: int = 256
    dim: int = 384
    hidden: int = 128


@dataclass(frozen=True)
class TextConfig:
    """The sentence encoder, distilled from one of ``dim`` values, and the network that reads expressions from it.

    concepts: how many it tells apart. targets: how many numbers say what one asks of a face. captions: how many it
    remembers, each as a place along so many ``axes``.
    """

    vocabulary: int = 30522
    word_dim: int = 192
    dim: int = 384
    layers: int = 3
    heads: int = 12
    longest: int = 64
    hidden: int = 256
    concepts: int = 33
    targets: int = 57
    captions: int = 0
    axes: int = 96
