"""Check that prompts act: whether blendshapes read from the generated frames change in the direction of the prompt.

Each prompt's video is compared with one of the same speech, motion and seed without a prompt. A landmarker's
blendshapes, the iris positions and the head roll are read at the end of the video, when the prompt has taken full
effect. MediaPipe's landmarker is independent of the model; our own was trained on MediaPipe's output.
"""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from ..arkit import ARKIT_INDEX
from ..errors import FaceError
from ..face.detect import FaceProvider
from ..face.topology import EYE_LEFT_UPPER, EYE_RIGHT_UPPER, IRIS_LEFT, IRIS_RIGHT
from ..media.audio import Audio
from ..pipelines.load import AnyPipeline
from ..pipelines.talk import talk
from ..progress import Progress, ProgressCallback, ignore_progress
from ..sampling.settings import usual_settings
from ..types import Face, SamplingSettings
from .dynamics import FPS

LAST = 10  # number of frames read, at the end of the video
GAZE, ROLL = "gaze to the right", "roll to the right"  # as seen in the picture
SMALLEST = {GAZE: 0.03, ROLL: 0.03}  # thresholds of a change, in eye widths and in radians
SMALLEST_BLENDSHAPES = 0.05


@dataclass(frozen=True)
class PromptCheck:
    """A prompt and the readings that must increase (+1) or decrease (-1); their signed sum is tested."""

    prompt: str
    signs: dict[str, int]


def _both(*stems: str, sign: int = 1) -> dict[str, int]:
    return {f"{stem}{side}": sign for stem in stems for side in ("Left", "Right")}


PROMPTS = (
    PromptCheck("a wide smile", _both("mouthSmile")),
    PromptCheck("worried", {"browInnerUp": 1}),
    PromptCheck("surprised, eyebrows up", {"browInnerUp": 1, **_both("browOuterUp", "eyeWide")}),
    PromptCheck("angry", _both("browDown")),
    PromptCheck("looking left", {GAZE: -1}),
    PromptCheck("looking right", {GAZE: 1}),
    PromptCheck("devastated by grief", {"browInnerUp": 1, **_both("mouthFrown"), **_both("mouthSmile", sign=-1)}),
    PromptCheck("sleepy and worn out", _both("eyeBlink", "eyeLookDown")),
    PromptCheck("disgusted", _both("noseSneer", "browDown", "mouthUpperUp")),
    PromptCheck("head tilted", {ROLL: 1}),
)


@dataclass(frozen=True)
class PromptResult:
    """The result of a prompt. change: signed sum of the changes against no prompt. moved: is it above the threshold."""

    prompt: str
    change: float
    moved: bool


def check_prompts(
    model: AnyPipeline,
    portrait: Tensor,
    audio: Audio,
    reader: FaceProvider,
    provider: FaceProvider | None = None,
    checks: tuple[PromptCheck, ...] = PROMPTS,
    settings: SamplingSettings | None = None,
    progress: ProgressCallback = ignore_progress,
) -> list[PromptResult]:
    """Generate a video per prompt and one without, and compare the expressions.

    portrait: (3, H, W) in 0..1. reader: landmarker with blendshapes, for the generated frames. provider: landmarker for
    the portrait. Raises FaceError if the reader finds no face or no blendshapes in the generated frames.
    """
    settings = settings or usual_settings(model.config)
    identity = model.encode_identity([portrait], provider=provider)
    speech = model.encode_speech(audio, FPS)
    motion = model.make_motion(speech, settings.seed)

    def reading(prompt: str) -> dict[str, float]:
        chunks = talk(model, identity, speech, prompt, motion, settings, output="crop")
        frames = list(chain.from_iterable(chunks))[-LAST:]
        return read_expression([face for frame in frames for face in reader(frame)[:1]])

    progress(Progress("prompts", 0, len(checks) + 1))
    neutral = reading("")
    results = []
    for number, check in enumerate(checks, 1):
        progress(Progress("prompts", number, len(checks) + 1))
        prompted = reading(check.prompt)
        change = sum(sign * (prompted[name] - neutral[name]) for name, sign in check.signs.items())
        threshold = max(SMALLEST.get(name, SMALLEST_BLENDSHAPES) for name in check.signs)
        results.append(PromptResult(check.prompt, change, change > threshold))
    progress(Progress("prompts", len(checks) + 1, len(checks) + 1))
    return results


def read_expression(faces: list[Face]) -> dict[str, float]:
    """Return the mean blendshapes by name, the gaze and the roll of one person's faces.

    ``GAZE``: horizontal iris position between the eye corners, 0 in the middle, in eye widths. ``ROLL``: angle of the
    line between the eyes in radians. Raises FaceError if no face has blendshapes.
    """
    shapes = [face.blendshapes for face in faces if face.blendshapes is not None]
    if not shapes:
        raise FaceError("The generated frames show no face with blendshapes: choose another portrait or landmarker.")
    mean = torch.stack(shapes).mean(0)
    points = torch.stack([face.landmarks for face in faces]).mean(0)[:, :2]
    gaze = 0.0
    for iris, lid in ((IRIS_RIGHT[0], EYE_RIGHT_UPPER), (IRIS_LEFT[0], EYE_LEFT_UPPER)):
        corners = points[[lid[0], lid[-1]]]
        width = (corners[1] - corners[0]).norm()
        gaze += float((points[iris, 0] - corners[:, 0].mean()) / width) / 2
    eye_line = points[EYE_LEFT_UPPER[0]] - points[EYE_RIGHT_UPPER[0]]
    blendshapes = {name: float(mean[index]) for name, index in ARKIT_INDEX.items()}
    return {**blendshapes, GAZE: gaze, ROLL: float(torch.atan2(eye_line[1], eye_line[0]))}


def prompts_table(results: list[PromptResult]) -> str:
    """Return the results as tab-separated text, with a count of those that moved on the last line."""
    lines = [f"{result.prompt}\t{result.change:+.3f}\t{'moves' if result.moved else 'does not'}" for result in results]
    return "\n".join([*lines, f"{sum(result.moved for result in results)} of {len(results)} move as asked"])
