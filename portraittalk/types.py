"""What travels between the rooms: one small frozen dataclass for each arrow of the data flow.

    portrait(s) -> Identity      audio -> Speech      prompt -> Style
    Speech + Style -> MotionTrack (see ``portraittalk.motion.track``)
    Identity + MotionTrack -> Structure
    Identity + Speech + Style + Structure -> frames

Images are float tensors in 0..1 laid out (..., C, H, W). Landmarks are the 478 points of MediaPipe's face mesh as
(..., 478, 3): x to the right and y down in pixels, z in the same unit, smaller towards the camera.
"""

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor
from typing_extensions import Self

LANDMARK_COUNT = 478


class Movable:
    """Gives a frozen dataclass ``.to(device, dtype)``: floating tensors change both, other tensors the device only."""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        def move(value: object) -> object:
            if isinstance(value, Tensor):
                return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            if isinstance(value, dict):
                return {key: move(inner) for key, inner in value.items()}
            if isinstance(value, tuple):
                return tuple(move(inner) for inner in value)
            return value.to(device, dtype) if isinstance(value, Movable) else value

        return replace(self, **{f.name: move(getattr(self, f.name)) for f in fields(self) if f.init})  # type: ignore[arg-type, type-var]  # Self is a dataclass


@dataclass(frozen=True)
class Face(Movable):
    """One face in a picture.

    landmarks: (478, 3) in pixels of the picture. blendshapes: (52,) ARKit weights in 0..1 in the order of
    ``arkit.ARKIT_NAMES``, or None where the provider reads none. score: confidence in 0..1.
    """

    landmarks: Tensor
    blendshapes: Tensor | None = None
    score: float = 1.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The landmarks' bounding box (x0, y0, x1, y1) in pixels."""
        low, high = self.landmarks[:, :2].amin(0), self.landmarks[:, :2].amax(0)
        return (*low.tolist(), *high.tolist())


@dataclass(frozen=True)
class Crop(Movable):
    """A similarity transform from a picture's pixels to those of a square aligned crop.

    matrix: (2, 3); a picture point p maps to ``matrix[:, :2] @ p + matrix[:, 2]``. Pixel centres lie at half-integers
    (the centre of the top left pixel is (0.5, 0.5)). size: the crop's side in pixels. image_size: (height, width).
    """

    matrix: Tensor
    size: int
    image_size: tuple[int, int]


@dataclass(frozen=True)
class View(Movable):
    """A further reference that shows what the portrait does not. picture: (3, S, S), its aligned crop. landmarks:
    (478, 3) in its pixels."""

    picture: Tensor
    landmarks: Tensor


@dataclass(frozen=True)
class Identity(Movable):
    """One person, from 1..N reference pictures; the first one is the portrait that is animated.

    portrait: (3, H, W), the whole picture. crop: its aligned crop. landmarks: (478, 3) in crop pixels.
    blendshapes: (52,) ARKit weights that the portrait itself shows. references: (N, 3, S, S) aligned crops.
    latents: (N, C, h, w) reference latents. tokens: (N * T, D) identity tokens, from frozen identity features.
    reference: per transformer block of a model with reference attention, what it sees of the references (1, P, C).
    uncond_tokens: (T, D), tokens of no person, which models that draw by a prompt are guided away from.
    open_mouth: what is behind the lips of a portrait that keeps them closed, where a further reference shows it, in the
    portrait's light. sides: references that are turned further to the left or to the right than the portrait.
    """

    portrait: Tensor
    crop: Crop
    landmarks: Tensor
    blendshapes: Tensor
    references: Tensor
    latents: Tensor
    tokens: Tensor
    reference: dict[str, Tensor] = field(default_factory=dict)
    open_mouth: View | None = None
    sides: tuple[View, ...] = ()
    uncond_tokens: Tensor | None = None


@dataclass(frozen=True)
class Speech(Movable):
    """Speech at the video's frame rate: frame k covers the seconds k / fps to (k + 1) / fps.

    features: (F, W, M): per frame W steps around it of M values (mini: a log-mel patch). fps: frames a second.
    seconds: length of the sound.
    """

    features: Tensor
    fps: float
    seconds: float

    def __len__(self) -> int:
        return self.features.shape[0]


@dataclass(frozen=True)
class Style(Movable):
    """What the text asks for. tokens and negative_tokens: (L, D), what AnimateNet attends to, or None where there is no
    prompt or the model reads none. expression: (T,), what the face is asked to do throughout, in the order of
    ``motion.prompted.EXPRESSION_NAMES``, or None. look: (L,), weights of the looks that the picture is given (in the
    order of ``LookConfig.looks``; below 0: that it is taken away from), or None where it stays as it is."""

    prompt: str = ""
    negative_prompt: str = ""
    tokens: Tensor | None = None
    negative_tokens: Tensor | None = None
    expression: Tensor | None = None
    look: Tensor | None = None


@dataclass(frozen=True)
class Structure(Movable):
    """Where everything in the face has to be, for F frames, in the aligned crop of S x S pixels.

    landmarks: (F, 478, 3) in crop pixels. map: (F, M, m, m) drawn landmarks in 0..1. coefficients: (F, K) expression,
    pose and gaze that the structure tokens are made of. flow: (F, 8, g, g), how the reference moves, as
    ``flow_between`` gives it. warped: (F, 3, S, S), the reference under that flow, but for what it shows too little of.
    borrowed: (F, 1, S, S) in 0..1, weight of pixels taken from elsewhere: another reference's mouth or cheek, or the
    portrait's own teeth at their own height. mask: (F, 1, S, S) in 0..1, feathered: what may differ from the warped
    reference.
    """

    landmarks: Tensor
    map: Tensor
    coefficients: Tensor
    flow: Tensor
    warped: Tensor
    borrowed: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return self.landmarks.shape[0]


@dataclass(frozen=True)
class Scales:
    """How strongly each branch of the decoupled cross-attention acts; 1 as trained, 0 switches it off."""

    identity: float = 1.0
    text: float = 1.0
    speech: float = 1.0
    structure: float = 1.0


@dataclass(frozen=True)
class SamplingSettings:
    """How to sample.

    seed: of the starting noise. steps: denoising steps. guidance_scale: for the text against the negative prompt; 1 is
    off. window and overlap: frames sampled together, and shared by neighbouring windows. fast_decode: with the model's
    fast decoder, if it has one, at some cost in detail. strength: how far a model of Stable Diffusion 1.5 goes from the
    picture that it begins with, 0..1. chunk: frames that are encoded, decoded and handed on together.
    """

    seed: int = 0
    steps: int = 1
    guidance_scale: float = 1.0
    scales: Scales = field(default_factory=Scales)
    window: int = 12
    overlap: int = 4
    fast_decode: bool = False
    strength: float = 1.0
    chunk: int = 4


def image_size(image: Tensor) -> tuple[int, int]:
    """(height, width) of a picture (..., H, W)."""
    return image.shape[-2], image.shape[-1]
