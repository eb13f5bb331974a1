"""The curves of a motion track that people edit: what each means, how it is read from a track, and how it changes one.

Most curves are added to what the track does: 0 changes nothing. Those of ``GAINS`` multiply it: 1 changes nothing.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX, ARKIT_NAMES
from .geometry import EYES_OPEN, EYES_SHUT
from .track import MotionTrack

DEGREE = math.pi / 180
HEAD_LIMIT, GAZE_LIMIT = 30.0, 30.0  # degrees; further turned, a single photograph does not hold
LARGEST_GAIN = 3.0


@dataclass(frozen=True)
class EditableCurve(ABC):
    """One curve: its name in files, and the values from ``low`` to ``high`` that an edit of it may have.

    low_word, high_word: what these two ends do, as an editor writes on its axis. unit: "degrees" or "". neutral: the
    value that changes nothing. downward: larger values belong further down on the screen, as where the head looks down.
    """

    name: str
    low: float
    high: float
    low_word: str
    high_word: str
    unit: str = ""
    neutral: float = 0.0
    downward: bool = False

    @abstractmethod
    def read(self, track: MotionTrack) -> Tensor:
        """Return the curve (F,) of a track, in the unit of the edit; a gain is 1 throughout."""

    @abstractmethod
    def change(self, track: MotionTrack, values: Tensor) -> MotionTrack:
        """Return the track with the edit ``values`` (F,) applied."""


@dataclass(frozen=True)
class AngleCurve(EditableCurve):
    """An angle of the head or the eyes. field: "rotation" or "gaze". axis: which of its angles."""

    field: str = "rotation"
    axis: int = 0

    def read(self, track: MotionTrack) -> Tensor:
        angles: Tensor = getattr(track, self.field)
        return angles[:, self.axis] / DEGREE

    def change(self, track: MotionTrack, values: Tensor) -> MotionTrack:
        angles: Tensor = getattr(track, self.field).clone()
        angles[:, self.axis] += (values * DEGREE).to(angles)
        return replace(track, **{self.field: angles})  # type: ignore[arg-type]  # both fields are tensors


@dataclass(frozen=True)
class ShapeCurve(EditableCurve):
    """Something that the face does, by ARKit coefficients.

    raises, lowers: coefficients to which the edit, or its negative, is added. fades: those that a negative edit scales
    down, to 0 at -1.
    """

    raises: tuple[str, ...] = ()
    lowers: tuple[str, ...] = ()
    fades: tuple[str, ...] = ()

    def read(self, track: MotionTrack) -> Tensor:
        raised, lowered = (track.expression[:, _indices(names)] for names in (self.raises, self.lowers))
        return raised.mean(1) - (lowered.mean(1) if self.lowers else 0)

    def change(self, track: MotionTrack, values: Tensor) -> MotionTrack:
        expression = track.expression.clone()
        added = values[:, None].to(expression)
        for names, sign in ((self.raises, 1), (self.lowers, -1)):
            expression[:, _indices(names)] += sign * added
        expression[:, _indices(self.fades)] *= 1 + added.clamp_max(0)
        changed = _indices(self.raises + self.lowers)
        expression[:, changed] = expression[:, changed].clamp(0, 1)
        return replace(track, expression=expression)


@dataclass(frozen=True)
class BlinkCurve(EditableCurve):
    """How far both eyes are closed. At -1 they stay open, whatever the track does; at 1 they are shut."""

    def read(self, track: MotionTrack) -> Tensor:
        lids = (track.expression[:, _indices(_BLINKS)].mean(1) - EYES_OPEN) / (EYES_SHUT - EYES_OPEN)
        return torch.maximum(track.blink, lids).clamp(0, 1)

    def change(self, track: MotionTrack, values: Tensor) -> MotionTrack:
        expression, added = track.expression.clone(), values.to(track.blink)
        expression[:, _indices(_BLINKS)] *= 1 + added[:, None].clamp_max(0)
        return replace(track, expression=expression, blink=(track.blink + added).clamp(0, 1))


@dataclass(frozen=True)
class GainCurve(EditableCurve):
    """A factor. coefficients: of the expression that it scales. head, gaze, tongue: whether it scales these, too."""

    low: float = 0.0
    high: float = LARGEST_GAIN
    low_word: str = "none"
    high_word: str = "most"
    neutral: float = 1.0
    coefficients: tuple[str, ...] = ()
    head: bool = False
    gaze: bool = False
    tongue: bool = False

    def read(self, track: MotionTrack) -> Tensor:
        return torch.ones(len(track))

    def change(self, track: MotionTrack, values: Tensor) -> MotionTrack:
        gain = values[:, None].to(track.expression)
        if self.coefficients:
            expression, scaled = track.expression.clone(), _indices(self.coefficients)
            expression[:, scaled] = (gain * expression[:, scaled]).clamp(0, 1)
            track = replace(track, expression=expression)
        if self.head:
            track = replace(track, rotation=gain * track.rotation, translation=gain * track.translation)
        if self.tongue:
            track = replace(track, tongue=(gain[:, 0] * track.tongue).clamp(0, 1))
        return replace(track, gaze=gain * track.gaze) if self.gaze else track


def _both(*stems: str) -> tuple[str, ...]:
    return tuple(f"{stem}{side}" for stem in stems for side in ("Left", "Right"))


def _indices(names: tuple[str, ...]) -> list[int]:
    return [ARKIT_INDEX[name] for name in names]


_BLINKS = _both("eyeBlink")
_BROWS = ("browInnerUp", *_both("browOuterUp"))
_LIVELY = (*_BROWS, *_both("browDown", "eyeWide"))
_FACE = tuple(name for name in ARKIT_NAMES if not name.startswith(("eyeBlink", "eyeLook")))
_PARTED = _both("mouthLowerDown", "mouthUpperUp")  # lips

# In the order in which they act: gains first, so that what is added is not scaled.
GAINS: tuple[EditableCurve, ...] = (
    GainCurve("intensity", coefficients=_FACE, tongue=True),
    GainCurve("liveliness", coefficients=_LIVELY, head=True, gaze=True),
    GainCurve("head_motion", head=True),
)
ADDED: tuple[EditableCurve, ...] = (
    AngleCurve("head_yaw", -HEAD_LIMIT, HEAD_LIMIT, "left", "right", "degrees", field="rotation", axis=1),
    AngleCurve("head_pitch", -HEAD_LIMIT, HEAD_LIMIT, "up", "down", "degrees", downward=True, field="rotation", axis=0),
    AngleCurve("head_roll", -HEAD_LIMIT, HEAD_LIMIT, "left", "right", "degrees", field="rotation", axis=2),
    AngleCurve("gaze_horizontal", -GAZE_LIMIT, GAZE_LIMIT, "left", "right", "degrees", field="gaze", axis=0),
    AngleCurve("gaze_vertical", -GAZE_LIMIT, GAZE_LIMIT, "up", "down", "degrees", downward=True, field="gaze", axis=1),
    BlinkCurve("blink", -1.0, 1.0, "open", "shut"),
    ShapeCurve("brows", -1.0, 1.0, "lowered", "raised", raises=_BROWS, lowers=_both("browDown")),
    ShapeCurve("smile", -1.0, 1.0, "frown", "smile", raises=_both("mouthSmile"), lowers=_both("mouthFrown")),
    ShapeCurve("mouth_open", -1.0, 1.0, "closed", "open", raises=("jawOpen",), fades=_PARTED),
)
CURVES: dict[str, EditableCurve] = {curve.name: curve for curve in (*GAINS, *ADDED)}
