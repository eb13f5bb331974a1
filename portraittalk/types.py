"""The data passed between the stages of the pipeline, as frozen dataclasses.

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
    """Adds ``.to(device, dtype)`` to a frozen dataclass; dtype applies to floating-point tensors only."""

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
    ``arkit.ARKIT_NAMES``, or None if the landmark provider has none. score: confidence in 0..1.
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
class MouthInside(Movable):
    """What a mouth shows between its lips, see ``compositing.mouth_inside``.

    ends: (K,) heights at which what hangs from the upper lip ends, at the points of ``LIPS_INNER_UPPER``, as fractions
    of the distance to the lower lip. stands: whether teeth or a tongue stand on the lower lip below that. exact:
    whether the ends are those of the teeth. teeth: (3, 1, 1) their colour, None if no teeth are seen.
    """

    ends: Tensor
    stands: bool
    exact: bool
    teeth: Tensor | None


@dataclass(frozen=True)
class View(Movable):
    """An aligned reference crop: picture (3, S, S), landmarks (478, 3) in its pixels.

    inside: of its mouth, if that is known already.
    """

    picture: Tensor
    landmarks: Tensor
    inside: MouthInside | None = None


@dataclass(frozen=True)
class MouthWindow(Movable):
    """A square of the aligned crop. corner: (2,) its left and top, and ``side``, as fractions of the crop's side."""

    corner: Tensor
    side: float

    def to_pixels(self, points: Tensor, crop_size: float, size: int) -> Tensor:
        """Map points (..., 2 or 3) in crop pixels to pixels of the window of ``size`` pixels a side."""
        scale = size / (self.side * crop_size)
        moved = (points[..., :2] - self.corner * crop_size) * scale
        return torch.cat((moved, points[..., 2:] * scale), -1)

    def within(self, covers: "MouthWindow") -> "MouthWindow":
        """Return the window in fractions of the square ``covers`` instead of the crop's."""
        return MouthWindow((self.corner - covers.corner) / covers.side, self.side / covers.side)

    def grid(self, size: int) -> Tensor:
        """Return the centres (size, size, 2) of the window's pixels, x and y as fractions of the crop's side."""
        centres = (torch.arange(size, device=self.corner.device, dtype=self.corner.dtype) + 0.5) * (self.side / size)
        return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) + self.corner


@dataclass(frozen=True)
class FaceLight(Movable):
    """How a face is lit, see ``compositing.light``.

    skin: (3, 1, 1) mean colour of cheeks and chin. eye_white: () green of the whites of the eyes. colour: (3, 1, 1) of
    the light relative to its green; 1 for white light. black: () green of the darkest in the picture, such as
    pupils and lashes: how it shows what no light reaches. glare: () in 0..1, the share of white that lies over a faded
    picture; the others are those of the picture below.
    """

    skin: Tensor
    eye_white: Tensor
    colour: Tensor
    black: Tensor
    glare: Tensor


@dataclass(frozen=True)
class Tongue(Movable):
    """Where the tip of the tongue is in F frames.

    raised: (F,) in 0..1, from behind the lower teeth to the back of the upper ones. out: (F,) in 0..1, how far it comes
    forward between the teeth.
    """

    raised: Tensor
    out: Tensor


@dataclass(frozen=True)
class LentMouth(Movable):
    """The inside of a mouth in another picture, straightened to the portrait's row of teeth, see ``tooth_row``.

    picture: (3, h, w) in 0..1. half_width: () eye distances from the row's middle to the picture's sides. top, bottom:
    (w,) where the opening begins and ends in each column. hanging: (w,) where what hangs from the upper jaw ends;
    standing: (w,) where what stands on the lower one begins. columns: (w,) how far a column is seen, in 0..1. stands:
    whether anything stands on the lower lip. jaw: () height of the chin. upper: () how far the upper teeth are known,
    in 0..1, so that none need to be painted. Heights are eye distances below the line at which lips meet.
    """

    picture: Tensor
    half_width: float
    top: Tensor
    bottom: Tensor
    hanging: Tensor
    standing: Tensor
    columns: Tensor
    stands: bool
    jaw: Tensor
    upper: Tensor

    def across(self, x: Tensor, values: Tensor) -> Tensor:
        """Return the values (w,) of columns at x, in eye distances right of the middle."""
        last = len(values) - 1
        at = ((x / self.half_width + 1) / 2 * len(values) - 0.5).clamp(0, last)
        left = at.floor().clamp_max(last - 1)
        return values[left.long()].lerp(values[left.long() + 1], at - left)


@dataclass(frozen=True)
class CloseUp(Movable):
    """The mouth of a reference at a higher pixel density than its crop.

    picture: (3, P, P), the part of the crop that ``covers`` describes. landmarks: (478, 3) in crop pixels. light: on
    the face. density: pixels of the photograph per pixel of ``picture``, at most 1: below that, ``picture`` is enlarged
    and has no finer detail. inside: as in ``View``. lent: of another reference, what its mouth lends to the portrait.
    """

    picture: Tensor
    landmarks: Tensor
    covers: MouthWindow
    light: FaceLight
    density: float = 1.0
    inside: MouthInside | None = None
    lent: LentMouth | None = None


@dataclass(frozen=True)
class Identity(Movable):
    """One person, from 1..N reference pictures; the first one is the portrait that is animated.

    portrait: (3, H, W), the whole picture. crop: its aligned crop. landmarks: (478, 3) in crop pixels.
    blendshapes: (52,) ARKit weights of the portrait, less those that are the form of its lips (``motion.lip_form``).
    references: (N, 3, S, S) aligned crops. tokens: (N * T, D) identity tokens, from frozen identity features.
    reference: for models with reference attention, the reference features (1, P, C) of each transformer block.
    uncond_tokens: (T, D) identity tokens of the unconditional branch, in prompt models. open_mouth: a further reference
    whose mouth is open further than the portrait's, relit to match the portrait; None if there is none. close_ups: for
    models that draw a mouth window, the mouth of the portrait, and that of ``open_mouth`` if there is one. others:
    (N, 478, 3) in crop pixels, the landmarks of other people in the portrait, who stand still.
    """

    portrait: Tensor
    crop: Crop
    landmarks: Tensor
    blendshapes: Tensor
    references: Tensor
    tokens: Tensor
    reference: dict[str, Tensor] = field(default_factory=dict)
    open_mouth: View | None = None
    uncond_tokens: Tensor | None = None
    close_ups: tuple[CloseUp, ...] = ()
    others: Tensor | None = None


@dataclass(frozen=True)
class Speech(Movable):
    """Speech at the video's frame rate: frame k covers the seconds k / fps to (k + 1) / fps.

    features: (F, W, M), W time steps of M values around each frame (mini: a log-mel patch). fps: frames per second.
    seconds: duration of the audio.
    """

    features: Tensor
    fps: float
    seconds: float

    def __len__(self) -> int:
        return self.features.shape[0]


@dataclass(frozen=True)
class Style(Movable):
    """The encoded prompt.

    tokens, negative_tokens: (L, D) text tokens for AnimateNet's cross-attention, or None if there is no prompt or the
    model reads none. expression: (T,) expression that the face shows throughout, in the order of
    ``arkit.EXPRESSION_NAMES``, or None. manner: (M,) how the way of moving changes, in the order of
    ``arkit.MANNER_NAMES``, or None. look: (L,) weights of the looks, in the order of ``LookConfig.looks``; negative
    weights push the picture away from that look. None leaves the picture unchanged. parts: of a prompt that changes
    over time, whose expressions and manners replace those of the whole.
    """

    prompt: str = ""
    negative_prompt: str = ""
    tokens: Tensor | None = None
    negative_tokens: Tensor | None = None
    expression: Tensor | None = None
    look: Tensor | None = None
    manner: Tensor | None = None
    parts: "tuple[StylePart, ...]" = ()


@dataclass(frozen=True)
class StylePart(Movable):
    """A part of a prompt: its style from ``start`` to ``end`` in seconds, or to the end of the video if None."""

    start: float
    end: float | None
    style: Style


@dataclass(frozen=True)
class Structure(Movable):
    """Facial geometry of F frames, in the aligned crop of S x S pixels.

    In models that draw a mouth window, ``map``, ``warped``, ``borrowed`` and ``mask`` are of this window instead, where
    ``borrowed`` is the blend weight of the inside of the mouth, which is painted where no reference shows it.

    landmarks: (F, 478, 3) in crop pixels. map: (F, M, m, m) drawn landmarks in 0..1. coefficients: (F, K) expression,
    pose and gaze for the structure tokens. flow: (F, 8, g, g) flow field of the reference with open eyes, see
    ``flow_between``. closure: (F, 2) in 0..1, how far the right and the left eye are then closed. warped: (F, 3, S, S)
    the reference warped by that flow, with lids closed and poorly visible regions filled in. borrowed:
    (F, 1, S, S) in 0..1, blend weight of these fillings: another reference's mouth, or the portrait's own teeth,
    unstretched. mask: (F, 1, S, S) in 0..1, feathered: where the frame may differ from the warped reference.
    pose: (F, 6) rotation and translation, as in ``MotionTrack``, by which the whole head of the finished frame is
    turned; 0 where the landmarks have that pose already. tongue: (F, 2), ``raised`` and ``out`` of ``Tongue``.
    """

    landmarks: Tensor
    map: Tensor
    coefficients: Tensor
    flow: Tensor
    closure: Tensor
    warped: Tensor
    borrowed: Tensor
    mask: Tensor
    pose: Tensor
    tongue: Tensor

    def __len__(self) -> int:
        return self.landmarks.shape[0]

    def __getitem__(self, frames: slice) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[frames] for field in fields(self)})


@dataclass(frozen=True)
class Scales:
    """Scale of each branch of the decoupled cross-attention: 1 as trained, 0 switches the branch off.

    text also scales the expression and the look that a prompt asks for, in models that have these.
    """

    identity: float = 1.0
    text: float = 1.0
    speech: float = 1.0
    structure: float = 1.0


@dataclass(frozen=True)
class SamplingSettings:
    """Settings of the sampler.

    seed: seed of the initial noise. steps: denoising steps. guidance_scale: scale of classifier-free guidance (in
    prompt models, of the prompt against the negative prompt); 1 is off. window: frames sampled together. overlap:
    frames shared by neighbouring windows. fast_decode: use the model's fast decoder, if it has one, at some cost in
    detail. strength: img2img strength of Stable Diffusion 1.5 models, in 0..1: how far the result may depart from the
    initial picture. chunk: frames encoded, decoded and yielded together.
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
    """Return (height, width) of a picture (..., H, W)."""
    return image.shape[-2], image.shape[-1]
