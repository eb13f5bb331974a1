"""The node that generates the frames of the talking portrait."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from comfy_api.latest import InputImpl, Types, io

from ..portraittalk.compositing.compose import crop_data
from ..portraittalk.errors import SettingsError
from ..portraittalk.media.audio import frame_count
from ..portraittalk.motion.track import MotionTrack
from ..portraittalk.motion.transform import fit_to_speech
from ..portraittalk.pipelines.base import FROM_THE_START, Output
from ..portraittalk.pipelines.unfinished import digest
from ..portraittalk.pipelines.within_memory import animate_within_memory
from ..portraittalk.sampling.settings import check_fps, check_settings, usual_settings
from ..portraittalk.types import Identity, SamplingSettings, Scales, image_size
from . import convert, widgets
from .host import files, models
from .host.progress import HostProgress, NodeText, block_output
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
    f"The sampler's output was set to '{VIDEO}' and nothing was connected to its frames when it ran, so none were kept:"
    f" set output to '{FRAMES}'."
)
FRAMES_SLOT = 0  # position of the output
SPILL = 0.5  # share of the free memory above which frames lie on the disk: other nodes need memory, too
LONG = 250  # frames of a video file from which an interrupted run can be resumed; shorter ones are soon made again
DEFAULTS = SamplingSettings()
SEARCH_ALIASES = [
    "talking head", "talking photo", "talking face", "lip sync", "animate portrait", "avatar", "portrait talk",
    "sadtalker", "wav2lip", "liveportrait", "hallo", "dubbing",
]  # fmt: skip
MODEL_STEPS, MODEL_OVERLAP = 0, -1  # widget values that select the model's own setting
MODEL_GUIDANCE = 1.0  # value of the style that selects the model's own guidance scale


class AnimateNetSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkAnimateNetSampler",
            display_name="PortraitTalk Sampler",
            category=CATEGORY,
            description=(
                "Generates the frames of the talking portrait. The audio alone decides how many: its length times fps."
            ),
            search_aliases=SEARCH_ALIASES,
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model, the same as in Identity Encode."),
                IdentitySocket.Input("identity", tooltip="The person to animate, from PortraitTalk Identity Encode."),
                io.Audio.Input("audio", tooltip="The speech; use the same audio as for the motion."),
                MotionSocket.Input(
                    "motion",
                    optional=True,
                    tooltip=(
                        "How the face moves, from Speech to Motion or a file; at least as long as the speech. "
                        "Unconnected: generated from the audio. EchoMimic models generate their own motion and ignore "
                        "it."
                    ),
                ),
                StyleSocket.Input(
                    "style",
                    optional=True,
                    tooltip=(
                        "Optional expression and look, from PortraitTalk Text Style. EchoMimic models refuse prompts."
                    ),
                ),
                widgets.seed(
                    "Seed of the sampling noise, and of the motion if none is connected; the same seed gives the "
                    "same frames."
                ),
                io.Int.Input(
                    "steps",
                    default=MODEL_STEPS,
                    min=MODEL_STEPS,
                    max=50,
                    tooltip=(
                        "Number of denoising steps; more steps take longer. 0: the model's own number (mini 1, "
                        "EchoMimic 6 or 30, AniPortrait and AnimateDiff 25, AnimateDiff with LCM 6)."
                    ),
                ),
                widgets.fps(
                    "Frame rate of the video, in frames per second; 25 is typical. A motion track with another "
                    "frame rate is resampled."
                ),
                io.DynamicCombo.Input(
                    "output",
                    options=[io.DynamicCombo.Option(mode, []) for mode in (VIDEO, FRAMES, CROPS)],
                    tooltip=(
                        f"'{VIDEO}': written directly to a file with sound, in constant memory, for speech of any "
                        "length; frames are kept only if something is connected to them. "
                        f"'{FRAMES}': whole pictures in memory, for other nodes (79 MB per second of video at 512x512)."
                        f" '{CROPS}': aligned face crops, to upscale or restore before PortraitTalk Paste Back."
                    ),
                ),
                *_scale_inputs(),
                io.Int.Input(
                    "window",
                    default=DEFAULTS.window,
                    min=1,
                    max=32,
                    advanced=True,
                    tooltip=(
                        "Number of frames sampled together, in models of public weights; mini draws each frame by "
                        "itself. Longer windows give smoother motion and need more memory. Typical: 12 to 16."
                    ),
                ),
                io.Int.Input(
                    "overlap",
                    default=MODEL_OVERLAP,
                    min=MODEL_OVERLAP,
                    max=31,
                    advanced=True,
                    tooltip=(
                        "Number of frames shared by neighbouring windows to hide the seams; must be less than window. "
                        "-1: the model's own value (3 or 4), 0: no overlap."
                    ),
                ),
                io.Boolean.Input(
                    "fast_decode",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Decode with the model's TAESD: faster, with slightly less detail. Models without TAESD, such "
                        "as mini, report an error."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    "frames", display_name="frames", tooltip=f"Whole pictures, or face crops in '{CROPS}' mode."
                ),
                io.Video.Output("video", display_name="video", tooltip="The frames with the sound, in every mode."),
                io.Float.Output("fps", display_name="fps", tooltip="Frame rate, for nodes that save a video."),
                CropDataSocket.Output(
                    "crop_data",
                    display_name="crop data",
                    tooltip="The whole picture and the position of the face crop, for PortraitTalk Paste Back.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
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
        identity_scale: float,
        audio_scale: float,
        structure_scale: float,
        window: int,
        overlap: int,
        output: dict[str, Any] | None = None,
        motion: MotionTrack | None = None,
        style: StyleCondition | None = None,
        fast_decode: bool = False,
    ) -> io.NodeOutput:
        style = style or StyleCondition()
        mode = widgets.chosen("output", output)["output"]
        shape: Output = "crop" if mode == CROPS else "full"
        text = NodeText(cls)
        progress = HostProgress(text)
        sound = convert.audio_to_library(audio)
        pipeline = model.model  # still offloaded: the memory to free depends on the settings
        config = pipeline.config
        guided = style.guidance_scale != MODEL_GUIDANCE and not pipeline.makes_motion
        settings = replace(
            usual_settings(config),
            seed=seed,
            steps=config.steps if steps == MODEL_STEPS else steps,
            guidance_scale=style.guidance_scale if guided else config.guidance_scale,
            scales=Scales(identity_scale, style.text_scale, audio_scale, structure_scale),
            window=window,
            overlap=config.overlap if overlap == MODEL_OVERLAP else overlap,
            fast_decode=fast_decode,
        )
        check_fps(fps)
        check_settings(settings, config)
        count = frame_count(sound.samples, sound.sample_rate, fps)
        picture = (0, 0) if mode == CROPS else image_size(identity.portrait)
        kept, spilled = mode != VIDEO or _is_connected(cls, FRAMES_SLOT), False
        size = (config.crop_size, config.crop_size) if mode == CROPS else picture
        text.add(f"{count} frames of {size[1]}x{size[0]}, {count / fps:.2f} s")
        if kept:
            needed = 12 * count * size[0] * size[1]
            spilled = models.outputs_can_spill() and needed > SPILL * models.free_memory()
            if not spilled:
                _check_memory(needed, count, size)
            text.add(f"{needed / 1e6:.0f} MB of frames" + (" on disk, in ComfyUI's temp folder" if spilled else ""))
        model.ready(window, model.working_memory(count, settings, picture, len(identity.references)))
        speech = pipeline.encode_speech(sound, fps, progress)
        track: MotionTrack | None = None
        if pipeline.makes_motion:
            if style.style.prompt or style.style.negative_prompt:
                raise SettingsError(
                    f"The model '{config.name}' reads no prompts: disconnect the style or leave its prompts empty."
                )
            if motion is not None:
                text.warn(f"The model '{config.name}' generates its own motion: the motion track is ignored.")
        elif motion is None:
            track = pipeline.make_motion(
                speech, seed, progress=progress, style=style.style, text_scale=style.text_scale
            )
        else:
            track = fit_to_speech(motion, len(speech), speech.fps)
        with text.with_warnings():
            unfinished, checkpoint = None, FROM_THE_START
            if not kept and count >= LONG:
                key = digest(model.digest, identity, speech, style.style, track, settings, shape)
                unfinished = files.unfinished_run(key)
            if unfinished is not None:
                checkpoint = unfinished.take_up()
            if checkpoint.start:
                text.add(f"takes up an interrupted run after {checkpoint.start} frames")
            chunks = animate_within_memory(
                pipeline, identity, speech, style.style, track, settings, shape, progress, checkpoint
            )
            data = crop_data(pipeline.shown_portrait(identity, style.style, style.text_scale))
            collector = convert.FrameCollector(
                len(speech), models.output_device(), files.tensor_on_disk if spilled else None
            )
            if mode == VIDEO:
                video = files.write_temp_video(collector.passing(chunks) if kept else chunks, sound, fps, unfinished)
                frames = collector.frames() if kept else block_output(NO_FRAMES)
                return io.NodeOutput(frames, video, fps, data)
            frames = collector.collect(chunks)
        video = InputImpl.VideoFromComponents(
            Types.VideoComponents(images=frames, audio=audio, frame_rate=Fraction(str(fps)))
        )
        return io.NodeOutput(frames, video, fps, data)


def _is_connected(node: type[io.ComfyNode], slot: int) -> bool:
    """Return whether another node of the workflow takes this output of the running node."""
    if node.hidden is None or not node.hidden.prompt:
        return False
    link = [node.hidden.unique_id, slot]
    return any(link in other.get("inputs", {}).values() for other in node.hidden.prompt.values())


def _check_memory(needed: int, count: int, size: tuple[int, int]) -> None:
    """Raise SettingsError if ``count`` frames of (height, width) do not fit into memory. needed: their bytes."""
    free = models.free_memory()
    if needed > free:
        raise SettingsError(
            f"{count} frames of {size[1]}x{size[0]} need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are "
            f"free: set output to '{VIDEO}', connect nothing to frames and use the video, or use a smaller portrait."
        )


def _scale_inputs() -> list[io.Input]:
    """Return the inputs for the scales of the cross-attention branches.

    The speech branch keeps the id ``audio_scale``, so that saved workflows still load.
    """
    branches = {
        "identity": ("identity", "skin, teeth and eyes like the references"),
        "audio": ("speech", "the fine shape of lips and tongue"),
        "structure": ("structure", "expression and pose of the motion track; in AnimateDiff models, the ControlNet"),
    }
    return [
        io.Float.Input(
            f"{name}_scale",
            display_name="speech_scale" if name == "audio" else None,
            default=1.0,
            min=0.0,
            max=5.0,
            step=0.05,
            advanced=True,
            tooltip=(
                f"Strength of the {branch} branch of the cross-attention ({effect}). 1: as trained, 0: off. No effect "
                "in models without this branch."
            ),
        )
        for name, (branch, effect) in branches.items()
    ]
