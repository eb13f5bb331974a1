"""The frames of the talking portrait."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from comfy_api.latest import InputImpl, Types, io
from torch import Tensor

from ..portraittalk.compositing.compose import crop_data
from ..portraittalk.errors import SettingsError
from ..portraittalk.media.audio import Audio, frame_count
from ..portraittalk.media.video import write_video
from ..portraittalk.motion.track import MotionTrack
from ..portraittalk.motion.transform import fit_to_speech
from ..portraittalk.pipelines.base import Output
from ..portraittalk.sampling.settings import check_fps, usual_settings
from ..portraittalk.types import Identity, SamplingSettings, Scales, image_size
from . import convert
from .host import files, models
from .host.progress import HostProgress, blocked, tell
from .sockets import (
    CATEGORY,
    CropDataSocket,
    IdentitySocket,
    ModelSocket,
    MotionSocket,
    StyleCondition,
    StyleSocket,
)

FRAMES, CROPS, VIDEO = "frames", "crops", "video file"
NO_FRAMES = (
    f"The sampler's output is set to '{VIDEO}', which keeps no frames in memory: use its video output, or set output to"
    f" '{FRAMES}' or '{CROPS}'."
)
DEFAULTS = SamplingSettings()
OWN_STEPS, OWN_OVERLAP = 0, -1  # widget values that say: as the model is made for
NO_GUIDANCE = 1.0


class AnimateNetSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkAnimateNetSampler",
            display_name="PortraitTalk Sampler",
            category=CATEGORY,
            description="Makes the portrait speak. The audio alone decides how many frames there are.",
            search_aliases=["talking head", "lip sync", "animate portrait", "talking photo", "avatar", "portrait talk"],
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model."),
                IdentitySocket.Input("identity", tooltip="Who speaks: from PortraitTalk Identity Encode."),
                io.Audio.Input("audio", tooltip="The speech, the same that the motion was made from."),
                MotionSocket.Input(
                    "motion",
                    optional=True,
                    tooltip=(
                        "How the face moves: from Speech to Motion, or loaded from a file. Unconnected, it is made from"
                        " the audio. Models of public weights make the motion themselves."
                    ),
                ),
                StyleSocket.Input("style", optional=True, tooltip="What a text prompt asks for; may stay unconnected."),
                io.Int.Input(
                    "seed",
                    default=DEFAULTS.seed,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Of the noise that the details are made from; the same seed gives the same frames.",
                ),
                io.Int.Input(
                    "steps",
                    default=OWN_STEPS,
                    min=OWN_STEPS,
                    max=50,
                    tooltip="Denoising steps; more take longer. 0: as many as the model is made for (mini: 1).",
                ),
                io.Float.Input(
                    "fps",
                    default=25.0,
                    min=1.0,
                    max=120.0,
                    step=0.01,
                    tooltip="Frames a second. There are seconds times fps frames, whatever the motion's own rate is.",
                ),
                io.DynamicCombo.Input(
                    "output",
                    options=[
                        io.DynamicCombo.Option(FRAMES, []),
                        io.DynamicCombo.Option(CROPS, []),
                        io.DynamicCombo.Option(VIDEO, []),
                    ],
                    tooltip=(
                        f"'{FRAMES}': whole pictures in memory, for other nodes; 79 MB a second at 512x512. '{CROPS}':"
                        f" the aligned faces, to upscale or restore and paste back. '{VIDEO}': straight into a file"
                        " with sound, for speeches of any length."
                    ),
                ),
                *_scale_inputs(),
                io.Int.Input(
                    "window",
                    default=DEFAULTS.window,
                    min=1,
                    max=32,
                    advanced=True,
                    tooltip="Frames that are made together. Longer windows move more smoothly and need more memory.",
                ),
                io.Int.Input(
                    "overlap",
                    default=OWN_OVERLAP,
                    min=OWN_OVERLAP,
                    max=31,
                    advanced=True,
                    tooltip=(
                        "Frames shared by neighbouring windows, to hide where they join; less than the window. -1: as "
                        "the model is made for."
                    ),
                ),
                io.Boolean.Input(
                    "fast_decode",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Decode with the model's TAESD, where it has one: faster, with a little less detail.",
                ),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip=f"IMAGE frames; not in '{VIDEO}' mode."),
                io.Video.Output("video", display_name="video", tooltip="The frames with the sound, in every mode."),
                io.Float.Output("fps", display_name="fps", tooltip="Frames a second, for nodes that save a video."),
                CropDataSocket.Output(
                    "crop_data", display_name="crop data", tooltip="Where crops belong, for Paste Back."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: models.LoadedModel,
        identity: Identity,
        audio: dict[str, Any],
        seed: int,
        steps: int,
        fps: float,
        output: dict[str, Any],
        identity_scale: float,
        audio_scale: float,
        structure_scale: float,
        window: int,
        overlap: int,
        motion: MotionTrack | None = None,
        style: StyleCondition | None = None,
        fast_decode: bool = False,
    ) -> io.NodeOutput:
        style = style or StyleCondition()
        mode = output["output"]
        shape: Output = "crop" if mode == CROPS else "full"
        progress = HostProgress()
        sound = convert.audio_to_library(audio)
        pipeline = model.model  # where it waits: how much room it needs depends on the settings
        config = pipeline.config
        guided = style.guidance_scale != NO_GUIDANCE and not pipeline.makes_motion
        settings = replace(
            usual_settings(config),
            seed=seed,
            steps=config.steps if steps == OWN_STEPS else steps,
            guidance_scale=style.guidance_scale if guided else config.guidance_scale,
            scales=Scales(identity_scale, style.text_scale, audio_scale, structure_scale),
            window=window,
            overlap=config.overlap if overlap == OWN_OVERLAP else overlap,
            fast_decode=fast_decode,
        )
        check_fps(fps)
        count = frame_count(sound.samples, sound.sample_rate, fps)
        picture = (0, 0) if mode == CROPS else image_size(identity.portrait)
        model.ready(window, model.working_memory(count, settings, picture, len(identity.references)))
        speech = pipeline.encode_speech(sound, fps, progress)
        moved: MotionTrack | None = None
        if pipeline.makes_motion:
            if style.style.prompt or style.style.negative_prompt:
                raise SettingsError(f"The model '{config.name}' reads no prompts: disconnect or empty the text style.")
            if motion is not None:
                tell(cls, f"The model '{config.name}' makes the motion itself: the motion track does not act.")
        elif motion is None:
            moved = pipeline.make_motion(speech, seed, progress=progress)
        else:
            moved = fit_to_speech(motion, len(speech), speech.fps)
        chunks = pipeline.animate(identity, speech, style.style, moved, settings, shape, progress)
        data = crop_data(pipeline.shown_portrait(identity, style.style, style.text_scale))
        if mode == VIDEO:
            return io.NodeOutput(blocked(NO_FRAMES), _streamed(chunks, sound, fps), fps, data)
        frames = convert.frames_to_comfy(chunks, len(speech), models.output_device())
        video = InputImpl.VideoFromComponents(
            Types.VideoComponents(images=frames, audio=audio, frame_rate=Fraction(str(fps)))
        )
        return io.NodeOutput(frames, video, fps, data)


def _streamed(chunks: Iterator[Tensor], sound: Audio, fps: float) -> InputImpl.VideoFromFile:
    """Frames and sound, written to the temp folder as they come."""
    path = files.temp_place("PortraitTalk").path(".mp4")
    write_video(chunks, path, fps, sound, kind="mp4")
    return InputImpl.VideoFromFile(str(path))


def _scale_inputs() -> list[io.Input]:
    branches = {
        "identity": "who it is: skin, teeth and eyes like the references",
        "audio": "what is heard: the fine shape of lips and tongue",
        "structure": "what the motion track says",
    }
    return [
        io.Float.Input(
            f"{name}_scale",
            default=1.0,
            min=0.0,
            max=5.0,
            step=0.05,
            advanced=True,
            tooltip=f"How strongly the {name} branch acts, {what}. 1 is as trained, 0 switches it off.",
        )
        for name, what in branches.items()
    ]
