"""Motion tracks: made from speech, and kept as JSON that people and programs can edit."""

from typing import Any

from comfy_api.latest import io

from ..portraittalk.models.motion_net import MOTION_FPS
from ..portraittalk.motion.prompted import with_style
from ..portraittalk.motion.track import MotionTrack
from . import convert
from .host import files, models
from .host.progress import HostProgress
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
                "Turns speech into a motion track: ARKit expressions, head pose, gaze and blinks for every frame. "
                "Save it to look at it or edit it."
            ),
            search_aliases=["lip sync", "audio to motion", "visemes", "blendshapes", "arkit", "head motion"],
            inputs=[
                ModelSocket.Input(
                    "model",
                    tooltip="The loaded model, whose motion network listens to the speech; mini's where it has none.",
                ),
                io.Audio.Input("audio", tooltip="The speech, from any loader, recorder or text-to-speech node."),
                io.Float.Input(
                    "head_motion",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How much the head moves; 0 holds it still. The mouth is not affected.",
                ),
                io.Float.Input(
                    "expression_strength",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How far mouth and face move: below 1 mumbles, above 1 articulates.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Decides when the eyes blink and how the head moves; the same seed gives the same motion.",
                ),
                StyleSocket.Input(
                    "style",
                    optional=True,
                    tooltip=(
                        "From PortraitTalk Text Style: the motion then carries its expression, to save or edit. "
                        "The sampler does not add the same prompt again."
                    ),
                ),
            ],
            outputs=[MotionSocket.Output("motion", display_name="motion", tooltip="For the sampler, or to save.")],
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
    ) -> io.NodeOutput:
        progress = HostProgress()
        loaded = model.ready()
        moves = "motion_net" in loaded.modules()
        mover = loaded if moves else models.built_in_model()
        speech = mover.encode_speech(convert.audio_to_library(audio), MOTION_FPS, progress)
        motion = mover.make_motion(speech, seed, head_motion, expression_strength, progress)
        asked = style or StyleCondition()
        return io.NodeOutput(with_style(motion, asked.style, asked.text_scale))


class SaveMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkSaveMotion",
            display_name="Save PortraitTalk Motion",
            category=CATEGORY,
            description=(
                "Saves a motion track as JSON in the output folder: one line a frame, ARKit names, to read and edit."
            ),
            search_aliases=["export motion", "blendshapes json", "arkit json"],
            inputs=[
                MotionSocket.Input("motion", tooltip="The motion track to save."),
                io.String.Input(
                    "filename_prefix",
                    default="motion/PortraitTalk",
                    tooltip="Name of the file in the output folder, with folders if you like; a number is added.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str) -> bool | str:
        return files.prefix_problem(filename_prefix) or True

    @classmethod
    def execute(cls, motion: MotionTrack, filename_prefix: str) -> io.NodeOutput:
        place = files.output_place(filename_prefix)
        motion.save(place.path(SUFFIX))
        return io.NodeOutput(ui={"text": (f"{place.subfolder}/{place.path(SUFFIX).name}".lstrip("/"),)})


class LoadMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkLoadMotion",
            display_name="Load PortraitTalk Motion",
            category=CATEGORY,
            description=(
                "Loads a motion track from JSON, such as one that Save PortraitTalk Motion wrote and you edited."
            ),
            search_aliases=["import motion", "blendshapes json", "arkit json"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=[*files.list_input_files(SUFFIX), *files.list_output_files(SUFFIX)],
                    tooltip="A .json file of the input folder, or of the output folder (marked [output]).",
                ),
            ],
            outputs=[MotionSocket.Output("motion", display_name="motion", tooltip="For the sampler.")],
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        return files.stored_file_problem(file) or True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return files.fingerprint(files.stored_file(file))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(MotionTrack.load(files.stored_file(file)))
