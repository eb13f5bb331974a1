"""Nodes for motion tracks: from speech or a video, combined, saved as editable JSON, and loaded again."""

import math
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..portraittalk.face.providers import provider_named
from ..portraittalk.models.face_basis import load_basis
from ..portraittalk.models.motion_net import MOTION_FPS
from ..portraittalk.motion.edit import ENDINGS, combine, extend
from ..portraittalk.motion.eyes import BLINKS_PER_MINUTE
from ..portraittalk.motion.prompted import with_style
from ..portraittalk.motion.read import read_motion
from ..portraittalk.motion.track import MotionTrack
from ..portraittalk.motion.transform import scale
from ..portraittalk.motion.transform import smooth as smoothed
from ..portraittalk.sampling.settings import check_fps, check_number
from . import convert, widgets
from .host import files, models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, ModelSocket, MotionSocket, StyleCondition, StyleSocket

SUFFIX = ".json"


class SpeechToMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkSpeechToMotion",
            display_name="PortraitTalk Speech to Motion",
            category=CATEGORY,
            description=(
                "Predicts a motion track from speech: ARKit blendshapes, head pose, gaze and blinks for every frame. It"
                " can be saved as JSON and edited."
            ),
            search_aliases=["lip sync", "audio to motion", "visemes", "blendshapes", "arkit", "head motion"],
            inputs=[
                ModelSocket.Input(
                    "model",
                    tooltip="The loaded model. Its motion network is used, or that of mini if it has none.",
                ),
                io.Audio.Input(
                    "audio",
                    tooltip="The speech, from any node that outputs audio (loader, recorder, text-to-speech).",
                ),
                widgets.amount(
                    "head_motion",
                    "Amount of head motion: 1 is natural, 0 holds the head still, higher values are livelier. Does "
                    "not affect the mouth.",
                ),
                widgets.amount(
                    "expression_strength",
                    "Amplitude of the mouth and face motion: 1 is natural, below 1 mumbles, above 1 articulates "
                    "more, 0 switches it off. Blinks and gaze are not affected.",
                ),
                widgets.seed("Seed for blinks, gaze and head motion; the same seed gives the same motion."),
                StyleSocket.Input(
                    "style",
                    optional=True,
                    tooltip=(
                        "Optional, from PortraitTalk Text Style: adds the expression of the prompt to the motion, in "
                        "the manner of its mood, so that it can be saved and edited. The sampler does not apply the "
                        "same style a second time."
                    ),
                ),
                widgets.amount(
                    "liveliness",
                    "How lively head, brows and gaze are: 0 is still, 1 a natural speaker, 2 a lively one. "
                    "head_motion scales the head once more.",
                    optional=True,
                ),
                io.Float.Input(
                    "blinks_per_minute",
                    default=BLINKS_PER_MINUTE,
                    min=0.0,
                    max=60.0,
                    step=1.0,
                    optional=True,
                    tooltip="Blinks per minute on average, mostly at the ends of phrases; 0 for none.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "motion",
                    display_name="motion",
                    tooltip="The motion track, for the sampler or Save PortraitTalk Motion.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: models.LoadedModel,
        audio: dict[str, Any],
        head_motion: float,
        expression_strength: float,
        seed: int,
        style: StyleCondition | None = None,
        liveliness: float = 1.0,
        blinks_per_minute: float = BLINKS_PER_MINUTE,
    ) -> io.NodeOutput:
        sound = convert.audio_to_library(audio)
        style = style or StyleCondition()
        check_number("text scale", style.text_scale)
        text = NodeText(cls)
        progress = HostProgress(text)
        loaded = model.ready()
        has_motion_net = "motion_net" in loaded.modules()
        pipeline = loaded if has_motion_net else models.built_in_model()
        speech = pipeline.encode_speech(sound, MOTION_FPS, progress)
        motion = pipeline.make_motion(
            speech,
            seed,
            head_motion,
            expression_strength,
            progress,
            liveliness=liveliness,
            blinks_per_minute=blinks_per_minute,
            style=style.style,
            text_scale=style.text_scale,
        )
        text.add(_length(motion))
        return io.NodeOutput(with_style(motion, style.style, style.text_scale, pipeline.face_motion()[1]))


class VideoToMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkVideoToMotion",
            display_name="PortraitTalk Video to Motion",
            category=CATEGORY,
            description=(
                "Reads the motion of a face from a driving video: expression, head pose, gaze and blinks, to animate a "
                "portrait with them. They are relative to the first frame and to the resting face of the video."
            ),
            search_aliases=["driving video", "motion capture", "face tracking", "retarget", "liveportrait"],
            inputs=[
                io.Image.Input("frames", tooltip="Frames of one person; the largest face of each is followed."),
                widgets.fps("Frame rate of the frames, in frames per second: connect that of the video's loader."),
                io.Float.Input(
                    "smooth",
                    default=0.04,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Smoothing of expression and head motion, in seconds; 0 keeps the tracker's jitter.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "motion", display_name="motion", tooltip="The motion track, for the sampler or Combine Motion."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, frames: Tensor, fps: float, smooth: float) -> io.NodeOutput:
        convert.check_image(frames, "frames")
        check_fps(fps)
        text = NodeText(cls)
        pictures = (convert.to_library(frame[None], "frames")[0] for frame in frames)
        progress = HostProgress(text)
        motion = read_motion(pictures, fps, provider_named("own"), load_basis(), len(frames), progress)
        text.add(_length(motion))
        return io.NodeOutput(smoothed(motion, smooth))


class CombineMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkCombineMotion",
            display_name="PortraitTalk Combine Motion",
            category=CATEGORY,
            description=(
                "Takes the mouth from one motion track, the head from a second and the eyes from a third, scales them, "
                "and extends a short track to the length of the speech."
            ),
            search_aliases=["edit motion", "merge motion", "retarget", "head motion", "loop motion"],
            inputs=[
                MotionSocket.Input("mouth", tooltip="Mouth and jaw, and everything else that is not connected."),
                MotionSocket.Input("head", optional=True, tooltip="Turns, tilts and shifts of the head."),
                MotionSocket.Input("eyes", optional=True, tooltip="Gaze, blinks, lids and brows."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The speech: a shorter track is extended to its length, in the way that 'ending' says.",
                ),
                widgets.amount(
                    "expression", "Amplitude of mouth and face: 1 leaves them as they are, 0 switches them off."
                ),
                widgets.amount(
                    "head_motion", "Amplitude of head motion: 1 leaves it as it is, 0 holds the head still."
                ),
                io.Combo.Input(
                    "ending",
                    options=list(ENDINGS),
                    default="hold",
                    tooltip=(
                        "What happens where the track is shorter than the speech: hold its last frame, loop, or fade "
                        "to the portrait as it is."
                    ),
                ),
            ],
            outputs=[
                MotionSocket.Output("motion", display_name="motion", tooltip="The motion track, for the sampler.")
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        mouth: MotionTrack,
        expression: float,
        head_motion: float,
        ending: str,
        head: MotionTrack | None = None,
        eyes: MotionTrack | None = None,
        audio: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        check_number("expression", expression, 10)
        check_number("head motion", head_motion, 10)
        if audio is not None:
            seconds = convert.audio_to_library(audio).seconds
            mouth = extend(mouth, math.ceil(seconds * mouth.fps), ending)
            head, eyes = (
                None if track is None else extend(track, math.ceil(seconds * track.fps), ending)
                for track in (head, eyes)
            )
        motion = scale(combine(mouth, head, eyes), expression, head_motion)
        NodeText(cls).add(_length(motion))
        return io.NodeOutput(motion)


class SaveMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkSaveMotion",
            display_name="Save PortraitTalk Motion",
            category=CATEGORY,
            description=(
                "Saves a motion track as editable JSON in the output folder, one line per frame, with ARKit's names."
            ),
            search_aliases=["export motion", "blendshapes json", "arkit json"],
            inputs=[
                MotionSocket.Input("motion", tooltip="The motion track to save."),
                io.String.Input(
                    "filename_prefix",
                    default="motion/PortraitTalk",
                    tooltip="File name in the output folder; may contain folders (folder/name). A number is added.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str) -> bool | str:
        return files.prefix_problem(filename_prefix) or True

    @classmethod
    def execute(cls, motion: MotionTrack, filename_prefix: str) -> io.NodeOutput:
        place = files.output_place(filename_prefix)
        motion.save(place.path(SUFFIX))
        name = f"{place.subfolder}/{place.path(SUFFIX).name}".lstrip("/")
        NodeText(cls).add(f"saved as {name}")
        return io.NodeOutput(ui={"text": (name,)})


class LoadMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkLoadMotion",
            display_name="Load PortraitTalk Motion",
            category=CATEGORY,
            description=(
                "Loads a motion track from a JSON file, for example an edited one from Save PortraitTalk Motion."
            ),
            search_aliases=["import motion", "blendshapes json", "arkit json"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=[*files.list_input_files(SUFFIX), *files.list_output_files(SUFFIX)],
                    tooltip=(
                        "Motion track as a .json file in the input folder or the output folder (marked [output]). It "
                        "must be at least as long as the speech."
                    ),
                ),
            ],
            outputs=[
                MotionSocket.Output("motion", display_name="motion", tooltip="The motion track, for the sampler.")
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        return files.stored_file_problem(file) or True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return files.fingerprint(files.stored_file(file))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        motion = MotionTrack.load(files.stored_file(file))
        NodeText(cls).add(_length(motion))
        return io.NodeOutput(motion)


def _length(motion: MotionTrack) -> str:
    return f"{len(motion)} frames, {len(motion) / motion.fps:.2f} s"
