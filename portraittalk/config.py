"""Configuration of the networks: `mini` and the models of Stable Diffusion 1.5 size share these classes."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from typing_extensions import Self

from .checks import shown

T = TypeVar("T")


@dataclass(frozen=True)
class AutoencoderConfig:
    """A KL autoencoder on patches of ``patch_size`` x ``patch_size`` pixels, folded into channels before the first
    convolution.

    With patch_size 1 it is exactly the autoencoder of Stable Diffusion. ``factor``: downsampling factor from crop
    pixels to latents.
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
class DifferenceDecoderConfig:
    """A decoder of the difference that changed latents make: channels at the resolution of the latents and at twice
    that, gated blocks at the former."""

    coarse_channels: int = 48
    fine_channels: int = 32
    coarse_blocks: int = 2
    norm_num_groups: int = 16


@dataclass(frozen=True)
class IdentityNetConfig:
    """Reference crop -> frozen identity features -> ``tokens`` identity tokens of width
    ``AnimateNetConfig.token_dim``."""

    input_size: int = 128
    widths: tuple[int, ...] = (48, 96, 144, 192)
    embedding_dim: int = 128
    tokens: int = 16
    heads: int = 4
    depth: int = 2


@dataclass(frozen=True)
class SpeechConfig:
    """Speech features: ``steps`` time steps of ``dim`` values per video frame (mini: log-mel, hop of ``hop`` samples).

    encoder: "mel" (a small network in AnimateNet turns the steps into tokens), "whisper" (the features already are
    tokens) or "wav2vec" (Hallo's audio projection makes tokens from all layers and the neighbouring frames).
    """

    encoder: str = "mel"
    sample_rate: int = 16000
    hop: int = 160
    steps: int = 20
    dim: int = 80
    tokens: int = 5


@dataclass(frozen=True)
class MotionNetConfig:
    """A temporal convolutional network: speech features -> expression coefficients."""

    width: int = 160
    layers: int = 6
    phones: int = 40


@dataclass(frozen=True)
class StructureConfig:
    """Sizes of the landmark map, of the structure tokens' coefficients and of the warp's flow field.

    guider: the network that encodes the map. "beside": a small encoder whose features are concatenated with the noisy
    latents, like the latents of the warped reference. "locator" (EchoMimic's face locator, of ``locator_widths``),
    "pose" (AniPortrait's pose guider) and "control" (a ControlNet with a conditioning stem of ``locator_widths``):
    features are added inside the denoiser, and nothing is concatenated with the noisy latents. "none": no map.
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
    """The denoising video UNet; field names follow diffusers' ``UNetMotionModel``.

    branches: inputs of the decoupled cross-attention; the first uses the key and value projections of the layer itself,
    which are those of an unmodified Stable Diffusion. cross_attention_gain: factor on the cross-attention's output.
    reference_attention: self-attention also attends to the features of a reference network, whose own cross-attention,
    if any, takes tokens ``reference_token_dim`` wide. norm_per_frame: the first norm of a motion module normalises each
    frame separately, as in AnimateDiff's own code; diffusers normalises over all frames of a window. motion_modules:
    temporal attention; without it, frames are independent images. audio_modules: speech enters through separate
    modules, as in Hallo. prediction: training target, "velocity" or "epsilon"; weights for one are useless for the
    other. betas: first and last beta of the training noise schedule; curve: its interpolation, "linear" or
    "scaled_linear". sampler: "ddim", or "lcm" for weights distilled to few steps; both are for epsilon (models that
    predict velocity have schedules of their own). shift: frames by which the windows of a clip that is sampled as a
    whole move at each step. noise_limit: the initial noise is clamped to +- this value. residual: the latents that are
    diffused are the difference to the latents of the warped reference, times residual_scale.
    """

    block_out_channels: tuple[int, ...] = (64, 96, 128)
    layers_per_block: int = 1
    attention_head_dim: int = 4  # number of heads, as in Stable Diffusion 1.5; the name is diffusers'
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
    residual: bool = True
    residual_scale: float = 7.0


@dataclass(frozen=True)
class ClipConfig:
    """The CLIP text and image encoders used by Stable Diffusion 1.5 and an IP-Adapter.

    text_*: text encoder, with a vocabulary of ``words`` tokens and ``longest`` tokens per prompt. image_*: image
    encoder. resampler_*: the IP-Adapter's resampler, which turns image features into ``tokens`` identity tokens.
    projection: if not 0, there is only the image encoder with its projection layer: one token of that width.
    """

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
class LivePortraitConfig:
    """LivePortrait's networks (Guo et al. 2024, arXiv 2407.03168), which draw a face from implicit keypoints.

    input_size: side in pixels of the crops that are read; drawn ones have twice that. width, widest: channels of the
    first level, doubled at each, and at most. channels, depth: of the volume of features. motion_dims, motion_depths:
    of the motion extractor's stages. dense_*: of the hourglass that mixes motions. compressed: channels of the volume
    that it is shown. drawn_width: channels of the last level drawn. norm_width: between the features and the scale and
    offset of the generator's norms.
    """

    input_size: int = 256
    keypoints: int = 21
    width: int = 64
    widest: int = 512
    channels: int = 32
    depth: int = 16
    motion_dims: tuple[int, ...] = (96, 192, 384, 768)
    motion_depths: tuple[int, ...] = (3, 3, 9, 3)
    dense_width: int = 32
    dense_widest: int = 1024
    compressed: int = 4
    drawn_width: int = 64
    norm_width: int = 128


@dataclass(frozen=True)
class PortraitTalkConfig:
    """All networks of one model, and its default sampling settings.

    crop_size: side of the aligned crop in pixels. crop_width: that side in outer eye distances. window_size: side in
    pixels of the window about the mouth that the network draws; 0 for networks that draw the whole crop. steps,
    guidance_scale, strength, window, overlap: defaults of ``SamplingSettings``. fast_decoder: whether the model has a
    second, smaller decoder for Stable Diffusion's latents. painted_mouth: blend weight of the painted mouth between
    lips that are closed in the portrait; 0 for networks that draw sharp teeth themselves, or that are given it as
    input. clip: for an unmodified Stable Diffusion
    1.5, which reads prompts itself, or a model that encodes the person with CLIP's image encoder; None for all others.
    face_embedding: width of the (ArcFace) face embedding that identity tokens are made from; 0 for none. liveportrait:
    for a model that draws the face from implicit keypoints, without autoencoder and AnimateNet; None for all others.
    difference_decoder: for a model of mouth windows that decodes once instead of twice; None for all others.
    """

    name: str = "mini"
    crop_size: int = 256
    crop_width: float = 2.5
    window_size: int = 0
    steps: int = 1
    guidance_scale: float = 1.0
    strength: float = 1.0
    window: int = 12
    overlap: int = 4
    fast_decoder: bool = False
    painted_mouth: float = 0.75
    clip: ClipConfig | None = None
    face_embedding: int = 0
    liveportrait: LivePortraitConfig | None = None
    difference_decoder: DifferenceDecoderConfig | None = None
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    identity_net: IdentityNetConfig = field(default_factory=IdentityNetConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    motion_net: MotionNetConfig = field(default_factory=MotionNetConfig)
    structure: StructureConfig = field(default_factory=StructureConfig)
    animate_net: AnimateNetConfig = field(default_factory=AnimateNetConfig)

    @property
    def kind(self) -> str:
        """The pipeline that runs the model: "window" (a mouth window), "crop" (the whole crop), "reference" (reference
        attention), "prompt" (Stable Diffusion) or "keypoints" (LivePortrait)."""
        if self.liveportrait is not None:
            return "keypoints"
        if self.animate_net.reference_attention:
            return "reference"
        if self.clip is not None:
            return "prompt"
        return "window" if self.window_size else "crop"

    @property
    def makes_motion(self) -> bool:
        """Whether the denoiser makes the motion from speech itself; prompts and motion tracks then have no effect."""
        return self.kind == "reference" and "speech" in self.animate_net.branches

    @property
    def latent_size(self) -> int:
        return (self.window_size or self.crop_size) // self.autoencoder.factor

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a configuration from ``to_dict``, also after JSON. Raises TypeError and ValueError as ``rebuilt``."""
        if not isinstance(values, dict):
            raise TypeError(f"the configuration is {shown(values)}")
        parts = {name: kind for name, kind in _PARTS.items() if name in values}
        for optional in ("clip", "liveportrait", "difference_decoder"):
            if values.get(optional) is None:
                parts.pop(optional, None)
        built: dict[str, Any] = {name: rebuilt(kind, values[name]) for name, kind in parts.items()}
        return rebuilt(cls, {**values, **built})


_PARTS: dict[str, type] = {
    "autoencoder": AutoencoderConfig,
    "identity_net": IdentityNetConfig,
    "speech": SpeechConfig,
    "motion_net": MotionNetConfig,
    "structure": StructureConfig,
    "animate_net": AnimateNetConfig,
    "difference_decoder": DifferenceDecoderConfig,
    "clip": ClipConfig,
    "liveportrait": LivePortraitConfig,
}


# Limits of what a file may ask for: networks are built before their weights are compared with the file's.
LARGEST_SIZE, MOST_LAYERS, MOST_WIDTHS = 2**16, 64, 8
_COUNTS_LAYERS = (
    "layers_per_block",
    "depth",
    "layers",
    "coarse_blocks",
    "text_layers",
    "image_layers",
    "motion_depths",
)


def rebuilt(kind: type[T], values: dict[str, Any]) -> T:
    """Rebuild a configuration from its ``asdict``, also after JSON.

    Raises TypeError for an unknown key and for a value of another type, ValueError for a value out of range.
    """
    if not isinstance(values, dict):
        raise TypeError(f"{kind.__name__} is {shown(values)}")
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    for key, hint in get_type_hints(kind).items():
        if key in tuples:
            _check_value(key, tuples[key], hint)
    return kind(**tuples)


def _check_value(key: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple) or (len(value) > MOST_WIDTHS and get_args(hint)[0] is not str):
            raise TypeError(f"{key} is {shown(value)}")
        for one in value:
            _check_value(key, one, get_args(hint)[0])
    elif hint in (int, float, bool, str):
        whole = isinstance(value, int) and not isinstance(value, bool)
        fits = whole if hint is int else whole or isinstance(value, float) if hint is float else isinstance(value, hint)
        if not fits:
            raise TypeError(f"{key} is {shown(value)}")
        largest = MOST_LAYERS if key in _COUNTS_LAYERS else LARGEST_SIZE
        if hint in (int, float) and not -largest <= value <= largest:
            raise ValueError(f"{key} is {shown(value)}")


# Draws whole crops at the size of small networks, for training and tests; what is shipped draws a mouth window.
SMALL = PortraitTalkConfig(name="small")

MINI = replace(
    SMALL,
    name="mini",
    window_size=128,
    painted_mouth=0.0,
    difference_decoder=DifferenceDecoderConfig(),
    autoencoder=AutoencoderConfig(latent_channels=16, block_out_channels=(64, 96), scaling_factor=0.3875),
    animate_net=AnimateNetConfig(
        branches=("identity", "speech", "structure"), motion_modules=False, residual_scale=1.5
    ),
)

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
    """The face detector: a face score and ``keypoints`` keypoints for every ``stride`` pixels of a picture resized to
    ``input_size`` pixels."""

    input_size: int = 160
    widths: tuple[int, ...] = (32, 48, 64, 96)
    stride: int = 8
    keypoints: int = 4


@dataclass(frozen=True)
class FaceMeshConfig:
    """The face mesh: 478 landmarks from an upright crop of ``input_size`` pixels.

    code: width of the bottleneck between the features of the whole crop and the landmarks. detail: width of the local
    features with which each landmark is then refined.
    """

    input_size: int = 192
    widths: tuple[int, ...] = (48, 96, 128, 192)
    code: int = 384
    detail: int = 32
    points: int = 478
    blendshapes: int = 52


@dataclass(frozen=True)
class MatteConfig:
    """The person matte, from upright views of the head of ``input_size`` pixels. widths: sides of the views in eye
    distances; the first must contain what may move."""

    input_size: int = 256
    widths: tuple[float, ...] = (5.6, 7.5)


@dataclass(frozen=True)
class LookConfig:
    """LookNet, which gives a picture a look, and the reader that predicts looks from sentence embeddings of width
    ``dim``.

    looks: names of the looks; the first ``lights`` change light and colour and may have negative weights, the others
    are drawing styles. paper: side of the tile of paper grain. face_size: side in pixels of an aligned crop at the
    resolution that LookNet works at, where the width of strokes is fixed.
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
    """The sentence encoder, distilled from a teacher with embeddings of width ``dim``, and the network that predicts
    expressions from its embeddings.

    concepts: number of expression classes. targets: length of a concept's expression vector. captions: number of stored
    captions, each as coordinates along ``axes`` principal axes.
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
