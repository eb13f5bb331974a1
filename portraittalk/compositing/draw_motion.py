"""Pictures of motion for people: its curves over the waveform of the speech, and the landmarks that it moves."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..face import topology as mesh
from ..motion.curves import CURVES, GAINS
from ..motion.keyframes import Keyframes, MotionEdit
from ..motion.track import MotionTrack

# Each panel of the picture: a title, its curves, and the smallest range of values that it shows.
_PANELS: tuple[tuple[str, tuple[str, ...], tuple[float, float]], ...] = (
    ("Head, degrees", ("head_yaw", "head_pitch", "head_roll"), (-6.0, 6.0)),
    ("Gaze, degrees", ("gaze_horizontal", "gaze_vertical"), (-6.0, 6.0)),
    ("Face", ("mouth_open", "smile", "brows", "blink"), (-0.2, 1.0)),
)
_AMPLITUDES = ("Amplitude", tuple(curve.name for curve in GAINS), (0.0, 2.0))
WIDTH, PANEL, AXIS = 1200, 190, 30  # pixels of the picture, of a panel and of the time axis
LEFT, RIGHT, TITLE = 56, 14, 26  # pixels beside and above the curves of a panel
_FINE = 2  # everything is drawn this many times larger, and scaled down
_COLOURS = ("#4db6ac", "#ffb74d", "#ba68c8", "#64b5f6")
_BACKGROUND, _PANEL_COLOUR, _WAVE, _GRID, _TEXT = "#1c1c20", "#26262c", "#3a3d48", "#4a4a54", "#c8c8d0"
_MOST_TICKS = 14
_LINES = (
    (*mesh.FACE_OVAL, mesh.FACE_OVAL[0]),
    mesh.EYE_RIGHT_UPPER,
    mesh.EYE_RIGHT_LOWER,
    mesh.EYE_LEFT_UPPER,
    mesh.EYE_LEFT_LOWER,
    mesh.BROW_RIGHT_UPPER,
    mesh.BROW_LEFT_UPPER,
    mesh.NOSE_BRIDGE,
    mesh.NOSE_BASE_LINE,
    mesh.LIPS_OUTER_UPPER,
    mesh.LIPS_OUTER_LOWER,
    mesh.LIPS_INNER_UPPER,
    mesh.LIPS_INNER_LOWER,
)
_IRISES = (mesh.IRIS_RIGHT, mesh.IRIS_LEFT)
_LINE_COLOUR, _IRIS_COLOUR = "#5fd8c9", "#ffb74d"
_DIMMED = 0.45  # of the portrait under the landmarks


def draw_curves(before: MotionTrack, after: MotionTrack, edit: MotionEdit, peaks: Sequence[float] = ()) -> Tensor:
    """Draw the curves of a motion over the waveform of its speech: (3, H, W) in 0..1.

    before, after: the track without and with the edit; where they differ, ``before`` is a thin line. The keys of the
    edit are dots. peaks: of the waveform, 0..1, spread over the length of the track.
    """
    gains = [name for name in _AMPLITUDES[1] if name in edit.curves]
    panels = [*_PANELS, (_AMPLITUDES[0], tuple(gains), _AMPLITUDES[2])] if gains else list(_PANELS)
    size = (WIDTH * _FINE, (PANEL * len(panels) + AXIS) * _FINE)
    picture = Image.new("RGB", size, _BACKGROUND)
    seconds = len(after) / after.fps
    for number, (title, names, smallest) in enumerate(panels):
        panel = _Panel(picture, number * PANEL, seconds)
        panel.waveform(peaks)
        lines = []
        for name in names:
            if name in gains:
                values = edit.curves[name].sampled(len(after), after.fps).float()
                lines.append((name, torch.ones_like(values), values))
            else:
                lines.append((name, CURVES[name].read(before).cpu(), CURVES[name].read(after).cpu()))
        panel.scale([values for _, *both in lines for values in both], smallest)
        for colour, (name, old, new) in zip(_COLOURS, lines, strict=False):
            panel.curve(old, colour, 1, dotted=True)
            panel.curve(new, colour, 2)
            keys = edit.curves.get(name)
            if isinstance(keys, Keyframes):
                panel.dots([key.time for key in keys.keys], new, colour)
        panel.legend(title, names)
    _time_axis(picture, PANEL * len(panels), seconds)
    return _tensor(picture.resize((size[0] // _FINE, size[1] // _FINE), Image.Resampling.LANCZOS))


def draw_landmarks(landmarks: Tensor, size: int, picture: Tensor | None = None) -> Iterator[Tensor]:
    """Draw landmarks (F, 478, 3), in pixels of a square of ``size``: pictures (1, 3, size, size) in 0..1.

    picture: (3, S, S) the square of the portrait in which they lie, shown darker behind them.
    """
    behind = Image.new("RGB", (size, size), _BACKGROUND)
    if picture is not None:
        behind = _image(_DIMMED * picture.cpu()).resize((size, size), Image.Resampling.BICUBIC)
    behind = behind.resize((size * _FINE, size * _FINE), Image.Resampling.BICUBIC)
    for points in (landmarks[..., :2].cpu() * _FINE).tolist():
        image = behind.copy()
        pen = ImageDraw.Draw(image)
        for path in _LINES:
            pen.line([tuple(points[index]) for index in path], _LINE_COLOUR, round(1.5 * _FINE), joint="curve")
        for centre, *edge in _IRISES:
            x, y = points[centre]
            radius = sum(abs(points[one][0] - x) + abs(points[one][1] - y) for one in edge) / len(edge) / 1.5
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_IRIS_COLOUR, width=_FINE)
        yield _tensor(image.resize((size, size), Image.Resampling.BOX))[None]


class _Panel:
    """One panel of the picture, ``top`` pixels from its upper edge."""

    def __init__(self, picture: Image.Image, top: int, seconds: float) -> None:
        self._pen = ImageDraw.Draw(picture)
        self._box = (LEFT * _FINE, (top + TITLE) * _FINE, (WIDTH - RIGHT) * _FINE, (top + PANEL - 6) * _FINE)
        self._top, self._seconds = top * _FINE, seconds
        self._low, self._high = 0.0, 1.0
        self._pen.rectangle(self._box, _PANEL_COLOUR)

    def waveform(self, peaks: Sequence[float]) -> None:
        left, top, right, bottom = self._box
        highest, middle = max([*peaks, 0.05]), (top + bottom) / 2
        for number, peak in enumerate(peaks):
            x0, x1 = (left + (right - left) * place / len(peaks) for place in (number, number + 1))
            half = 0.46 * (bottom - top) * peak / highest
            self._pen.rectangle((x0, middle - half, max(x1 - 1, x0), middle + half), _WAVE)

    def scale(self, curves: Sequence[Tensor], smallest: tuple[float, float]) -> None:
        """Choose the range of values and draw its grid."""
        self._low = min(smallest[0], *(values.min().item() for values in curves))
        self._high = max(smallest[1], *(values.max().item() for values in curves))
        step = _step((self._high - self._low) / 4)
        for number in range(int(np.ceil(self._low / step)), int(np.floor(self._high / step)) + 1):
            y = self._y(number * step)
            self._pen.line((self._box[0], y, self._box[2], y), _GRID, 2 if number == 0 else 1)
            _text(self._pen, (self._box[0] - 6 * _FINE, y), f"{number * step:g}", "rm")

    def curve(self, values: Tensor, colour: str, width: int, dotted: bool = False) -> None:
        left, right = self._box[0], self._box[2]
        points = [
            (left + (right - left) * (frame + 0.5) / len(values), self._y(value))
            for frame, value in enumerate(values.tolist())
        ]
        if not dotted:
            self._pen.line(points, colour, width * _FINE, joint="curve")
            return
        for number, (start, end) in enumerate(pairwise(points)):
            if number % 2 == 0:
                self._pen.line((start, end), colour, width * _FINE)

    def dots(self, times: Sequence[float], values: Tensor, colour: str) -> None:
        """Mark keys on the curve. Those after the end of the clip are not shown."""
        left, right = self._box[0], self._box[2]
        for time in times:
            if time <= self._seconds:
                frame = min(int(time / self._seconds * len(values)), len(values) - 1)
                x, y, r = left + (right - left) * time / self._seconds, self._y(values[frame].item()), 5 * _FINE
                self._pen.ellipse((x - r, y - r, x + r, y + r), colour, "white", _FINE)

    def legend(self, title: str, names: Sequence[str]) -> None:
        x, y = self._box[0], self._top + TITLE * _FINE / 2
        _text(self._pen, (x, y), title, "lm")
        x += 150 * _FINE
        for colour, name in zip(_COLOURS, names, strict=False):
            self._pen.line((x, y, x + 22 * _FINE, y), colour, 3 * _FINE)
            word = "" if name in _AMPLITUDES[1] else f" (+ {CURVES[name].high_word})"
            _text(self._pen, (x + 28 * _FINE, y), name + word, "lm")
            x += 230 * _FINE

    def _y(self, value: float) -> float:
        top, bottom = self._box[1] + 6 * _FINE, self._box[3] - 6 * _FINE
        return bottom - (bottom - top) * (value - self._low) / (self._high - self._low)


def _time_axis(picture: Image.Image, top: int, seconds: float) -> None:
    pen, left, right = ImageDraw.Draw(picture), LEFT * _FINE, (WIDTH - RIGHT) * _FINE
    step = _step(seconds / _MOST_TICKS)
    for number in range(int(seconds / step) + 1):
        x = left + (right - left) * number * step / seconds
        pen.line((x, top * _FINE - 5 * _FINE, x, top * _FINE + 2 * _FINE), _TEXT, _FINE)
        _text(pen, (x, (top + 14) * _FINE), f"{number * step:g} s", "mm")


def _step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least ``least``."""
    power = 10 ** np.floor(np.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)))


def _text(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str) -> None:
    try:
        pen.text(place, text, _TEXT, ImageFont.load_default(13 * _FINE), anchor)
    except (TypeError, ValueError):  # before Pillow 10.1 its own font has one size and no anchors
        pen.text((place[0] - (6 * len(text) if anchor[0] != "l" else 0), place[1] - 6), text, _TEXT)


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
