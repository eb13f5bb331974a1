"""The node that edits motion over time, and shows its curves and the landmarks that it moves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..portraittalk.checks import check_real
from ..portraittalk.compositing.draw_motion import draw_curves, draw_landmarks
from ..portraittalk.errors import MotionError
from ..portraittalk.media.audio import Audio
from ..portraittalk.media.waveform import waveform_of
from ..portraittalk.models.face_basis import load_basis
from ..portraittalk.motion.curves import CURVES, GAINS
from ..portraittalk.motion.geometry import move_landmarks
from ..portraittalk.motion.keyframes import MotionEdit
from ..portraittalk.motion.track import MotionTrack
from ..portraittalk.progress import Progress
from ..portraittalk.types import Identity
from . import convert
from .host import files
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, IdentitySocket, MotionSocket

SIDE = 384  # pixels of the picture with the landmarks
FACE_WIDTH, FACE_TOP = 2.6, 0.36  # without a portrait: the picture's width in eye distances, height of the eyes in it
CHUNK = 25  # frames that are moved together
PARTS = 600  # of the waveform and of each curve in the editor


class EditMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkEditMotion",
            display_name="PortraitTalk Edit Motion",
            category=CATEGORY,
            description=(
                "Changes motion over time: keyframes for head, gaze, blinks, brows, smile, mouth, and for the "
                "amplitude of expression, head and liveliness. Shows the curves over the waveform and the landmarks "
                "moving."
            ),
            search_aliases=["keyframes", "motion curves", "animation curve", "spline", "head pose", "timeline"],
            inputs=[
                MotionSocket.Input("motion", tooltip="The motion track to change."),
                io.String.Input(
                    "edits",
                    multiline=True,
                    default="{}",
                    tooltip=(
                        "The keyframes as JSON, which the editor below writes: for each curve, keys with time in "
                        "seconds and value, or a list of numbers spread over the clip."
                    ),
                ),
                io.Audio.Input(
                    "audio", optional=True, tooltip="The speech, shown behind the curves and heard in the preview."
                ),
                IdentitySocket.Input(
                    "identity",
                    optional=True,
                    tooltip="The portrait whose landmarks the preview moves; without it, those of an average face.",
                ),
                io.Float.Input(
                    "values",
                    optional=True,
                    force_input=True,
                    tooltip=(
                        "A list of numbers for one curve, spread over the clip, from a node that outputs FLOAT lists "
                        "such as a spline editor; a single number holds throughout. Replaces the keys of that curve."
                    ),
                ),
                io.Combo.Input(
                    "values_for",
                    options=list(CURVES),
                    default=next(iter(CURVES)),
                    optional=True,
                    tooltip="The curve that 'values' is for. Has no effect if 'values' is not connected.",
                ),
                io.Float.Input(
                    "preview_seconds",
                    default=10.0,
                    min=0.1,
                    max=3600.0,
                    step=0.1,
                    optional=True,
                    tooltip="How much of the motion the video of the landmarks shows, from the beginning, in seconds.",
                ),
            ],
            outputs=[
                MotionSocket.Output("motion", display_name="motion", tooltip="The changed motion, for the sampler."),
                io.Image.Output(
                    "curves", display_name="curves", tooltip="A picture of the curves over the waveform of the speech."
                ),
                io.Video.Output(
                    "landmarks",
                    display_name="landmarks",
                    tooltip="A short video of the landmarks moving, with the speech.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, edits: str | None) -> bool | str:
        try:
            _parsed(edits or "")  # None where another node makes the text: it is read in the run
        except MotionError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        motion: MotionTrack,
        edits: str,
        audio: dict[str, Any] | None = None,
        identity: Identity | None = None,
        values: Any = None,
        values_for: str = next(iter(CURVES)),
        preview_seconds: float = 10.0,
    ) -> io.NodeOutput:
        check_real("The input 'preview_seconds'", preview_seconds, 0)
        edit = _parsed(edits)
        if values is not None:
            edit = edit.with_values(values_for, convert.numbers_to_library(values, "values"))
        sound = None if audio is None else convert.audio_to_library(audio)
        edited = edit.apply(motion)
        seconds = len(motion) / motion.fps
        peaks = [] if sound is None else waveform_of(_beginning(sound, seconds), PARTS).peaks
        if sound is not None and sound.seconds < seconds:  # the sound ends before the motion
            peaks += [0.0] * round(len(peaks) * (seconds / sound.seconds - 1))
        text = NodeText(cls)
        text.add(f"{len(motion)} frames, {seconds:.2f} s, {len(edit.curves)} of {len(CURVES)} curves changed")
        shown = edited[: max(round(preview_seconds * motion.fps), 1)]
        heard = None if sound is None else _beginning(sound, len(shown) / motion.fps)
        frames = _moving(shown, identity, HostProgress(text))
        video = files.write_temp_video(frames, heard, motion.fps, played=True)
        picture = convert.to_comfy(draw_curves(motion, edited, edit, peaks)[None])
        told = {
            "seconds": seconds,
            "fps": motion.fps,
            "peaks": peaks,
            "video": Path(str(video.get_stream_source())).name,
            "curves": {name: _points(curve.read(motion)) for name, curve in CURVES.items() if curve not in GAINS},
        }
        preview = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(edited, picture, video, ui={**preview, "motion_curves": [told]})


def curves_info(name: str) -> dict[str, Any]:
    """Return what an editor has to know of the curves, in their order. name: not used, since all have the same."""
    keys = ("name", "low", "high", "low_word", "high_word", "unit", "neutral", "downward")
    return {"curves": [{key: getattr(curve, key) for key in keys} for curve in CURVES.values()]}


def _parsed(edits: str) -> MotionEdit:
    return MotionEdit.parse(edits, "The input 'edits'")


def _beginning(sound: Audio, seconds: float) -> Audio:
    return Audio(sound.waveform[:, : max(round(seconds * sound.sample_rate), 1)], sound.sample_rate)


def _points(values: Tensor) -> list[float]:
    """Return at most ``PARTS`` of the values (F,), evenly spread."""
    chosen = torch.linspace(0, len(values) - 1, min(len(values), PARTS)).round().long()
    return [round(value, 3) for value in values.cpu()[chosen].tolist()]


def _moving(track: MotionTrack, identity: Identity | None, progress: HostProgress) -> Iterator[Tensor]:
    """Return pictures (1, 3, SIDE, SIDE) of the landmarks that a track moves."""
    basis = load_basis()
    if identity is None:
        face, shapes, picture = basis.mean, torch.zeros(track.expression.shape[1]), None
        scale, corner = SIDE / FACE_WIDTH, torch.tensor([SIDE / 2, SIDE * FACE_TOP, 0.0])
    else:
        face, shapes, picture = identity.landmarks.cpu(), identity.blendshapes.cpu(), identity.references[0]
        scale, corner = SIDE / identity.crop.size, torch.zeros(3)
    for start in range(0, len(track), CHUNK):
        progress(Progress("draw landmarks", start, len(track)))
        part = track[start : start + CHUNK].to("cpu")
        yield from draw_landmarks(move_landmarks(face, shapes, part, basis) * scale + corner, SIDE, picture)
    progress(Progress("draw landmarks", len(track), len(track)))
