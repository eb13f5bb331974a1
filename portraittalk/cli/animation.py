"""One animation of the command line: ``animate`` makes one, ``batch`` many."""

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from typing_extensions import Self

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..face.detect import FaceProvider
from ..face.providers import provider_named
from ..face.select import FaceChoice
from ..media.audio import Audio, frame_count, read_audio
from ..media.image import read_image
from ..media.pieces import check_pieces
from ..media.video import QUALITY, VideoFile, check_output, check_room, write_video
from ..motion.edit import extend
from ..motion.track import MotionTrack
from ..output_files import check_file, check_outputs
from ..pipelines.load import AnyPipeline
from ..pipelines.talk import check_inputs, talk
from ..pipelines.unfinished import Unfinished
from ..progress import ProgressCallback
from ..sampling.settings import check_fps, check_strengths
from ..types import SamplingSettings, image_size
from ..weights.files import find_weights, model_folders
from ..weights.load import read_config
from .animate_options import SMALLEST_MAX_SIZE, AnimateOptions
from .machine import Machine
from .options import check_exist


@dataclass(frozen=True)
class Animation:
    """The checked options of an animation with the files that they name.

    weights: the file of the model. picture: (height, width) of the frames, (0, 0) for crops. frames: their number.
    """

    options: AnimateOptions
    weights: Path
    config: PortraitTalkConfig
    kind: str
    provider: FaceProvider | None
    machine: Machine
    settings: SamplingSettings
    images: list[Tensor]
    audio: Audio
    motion: MotionTrack | None

    @classmethod
    def read(cls, options: AnimateOptions) -> Self:
        """Check the options and read the files. Raises a PortraitTalkError for the first that cannot be used."""
        check_fps(options.fps)
        check_strengths(options.head_motion, options.expression_strength, options.liveliness, options.blinks)
        if options.max_size < SMALLEST_MAX_SIZE:
            raise SettingsError(f"--max-size must be at least {SMALLEST_MAX_SIZE} pixels, not {options.max_size}.")
        check_exist(options.inputs)
        weights = find_weights(options.model, model_folders(options.models_dir))
        kind = check_output(options.out, inputs=[*options.inputs, weights])
        if options.resume:
            check_pieces(kind)
        if options.motion_out is not None:
            check_outputs([options.out, options.motion_out], [*options.inputs, weights])
            check_file(options.motion_out)
        provider = provider_named(options.landmarker)
        config = read_config(weights)
        uses_motion = options.motion_in is not None or options.motion_out is not None
        check_inputs(config, options.prompt, options.negative_prompt, uses_motion)
        settings = options.settings(config)
        images = [read_image(path, options.max_size).flattened() for path in options.portraits]
        audio = read_audio(options.audio, duration=options.preview)
        motion = None if options.motion_in is None else MotionTrack.load(options.motion_in)
        if motion is not None and options.motion_end is not None:
            motion = extend(motion, math.ceil(audio.seconds * motion.fps), options.motion_end)
        machine = Machine(
            options.device, options.precision, options.low_memory, options.channels_last, options.compiled
        )
        animation = cls(options, weights, config, kind, provider, machine, settings, images, audio, motion)
        if not options.no_paste_back:
            check_room(options.out, kind, images[0], animation.frames)
        return animation

    @property
    def frames(self) -> int:
        return frame_count(self.audio.samples, self.audio.sample_rate, self.options.fps)

    @property
    def picture(self) -> tuple[int, int]:
        return (0, 0) if self.options.no_paste_back else image_size(self.images[0])

    def load_model(self) -> AnyPipeline:
        """Load the model for this animation."""
        return self.machine.load(self.weights, self.config, self.settings, self.frames, self.picture, len(self.images))

    def run(self, pipeline: AnyPipeline, progress: ProgressCallback) -> VideoFile:
        """Make the video, and the motion file if one is wanted."""
        options = self.options
        unfinished = Unfinished.beside(options.out, self.machine, QUALITY) if options.resume else None
        frames = talk(
            pipeline,
            self.images,
            self.audio,
            options.prompt,
            self.motion,
            self.settings,
            negative_prompt=options.negative_prompt,
            fps=options.fps,
            output="crop" if options.no_paste_back else "full",
            choice=FaceChoice(index=options.face_index),
            provider=self.provider,
            head_motion=options.head_motion,
            expression_strength=options.expression_strength,
            liveliness=options.liveliness,
            blinks_per_minute=options.blinks,
            progress=progress,
            unfinished=unfinished,
        )
        pieces = None if unfinished is None else unfinished.pieces
        video = write_video(frames, options.out, frames.fps, self.audio, pieces=pieces)
        if options.motion_out is not None and frames.motion is not None:
            frames.motion[: len(frames)].save(options.motion_out)
        if unfinished is not None:
            unfinished.remove()
        return video
