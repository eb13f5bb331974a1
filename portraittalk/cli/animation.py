"""One animation of the command line: ``animate`` makes one, ``batch`` many."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import Self

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..face.detect import FaceProvider
from ..face.providers import provider_named
from ..face.select import FaceChoice
from ..media.audio import frame_count
from ..media.image import read_image
from ..media.pieces import check_pieces
from ..media.sound import Sound, open_audio
from ..media.video import QUALITY, VideoFile, check_output, check_room, write_video
from ..memory.reuse import return_freed_memory
from ..metrics.cost import peak_memory_mb
from ..motion.edit import extend
from ..motion.keyframes import MotionEdit
from ..motion.track import MotionTrack
from ..output_files import check_file, check_outputs
from ..pipelines.load import AnyPipeline
from ..pipelines.talk import check_inputs, talk
from ..pipelines.unfinished import Unfinished
from ..progress import ProgressCallback
from ..sampling.settings import check_fps, check_strengths
from ..types import Identity, SamplingSettings, image_size
from ..weights.files import find_weights, model_folders
from ..weights.load import read_config
from .animate_options import SMALLEST_MAX_SIZE, AnimateOptions
from .machine import Machine
from .options import check_exist
from .run_costs import Cost, Expectation, RunCosts, Stopwatch, Work
from .terminal import choose_device


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
    audio: Sound
    motion: MotionTrack | None
    edit: MotionEdit | None

    @classmethod
    def read(cls, options: AnimateOptions, to_write: bool = True) -> Self:
        """Check the options and read the files. Raises a PortraitTalkError for the first that cannot be used.

        to_write: whether the outputs must be writable, too.
        """
        check_fps(options.fps)
        check_strengths(options.head_motion, options.expression_strength, options.liveliness, options.blinks)
        if options.max_size < SMALLEST_MAX_SIZE:
            raise SettingsError(f"--max-size must be at least {SMALLEST_MAX_SIZE} pixels, not {options.max_size}.")
        check_exist(options.inputs)
        weights = find_weights(options.model, model_folders(options.models_dir))
        kind = options.out.suffix.lower().lstrip(".")
        if to_write:
            kind = check_output(options.out, inputs=[*options.inputs, weights])
        if options.resume:
            check_pieces(kind)
        if to_write and options.motion_out is not None:
            check_outputs([options.out, options.motion_out], [*options.inputs, weights])
            check_file(options.motion_out)
        provider = provider_named(options.landmarker)
        config = read_config(weights)
        files = (options.motion_in, options.motion_out, options.motion_edit)
        uses_motion = any(path is not None for path in files)
        check_inputs(config, options.prompt, options.negative_prompt, uses_motion)
        settings = options.settings(config)
        images = [read_image(path, options.max_size).flattened() for path in options.portraits]
        audio = open_audio(options.audio, duration=options.preview)
        motion = None if options.motion_in is None else MotionTrack.load(options.motion_in)
        if motion is not None and options.motion_end is not None:
            motion = extend(motion, math.ceil(audio.seconds * motion.fps), options.motion_end)
        edit = None if options.motion_edit is None else MotionEdit.load(options.motion_edit)
        machine = Machine(
            options.device, options.precision, options.low_memory, options.channels_last, options.compiled
        )
        animation = cls(options, weights, config, kind, provider, machine, settings, images, audio, motion, edit)
        if not options.no_paste_back:
            # The pieces of a run that can be resumed are there until the video has been joined from them.
            check_room(options.out, kind, images[0], animation.frames * (2 if options.resume else 1))
        return animation

    @property
    def frames(self) -> int:
        return frame_count(self.audio.samples, self.audio.sample_rate, self.options.fps)

    @property
    def picture(self) -> tuple[int, int]:
        return (0, 0) if self.options.no_paste_back else image_size(self.images[0])

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return (self.config.crop_size, self.config.crop_size) if self.options.no_paste_back else self.picture

    def work(self, processes: int = 1, threads: int | None = None) -> Work:
        """Return what the run does, to be compared with former ones. processes: that animate at the same time.

        threads: of torch, by default those of this process.
        """
        options, (height, width) = self.options, self.frame_size
        return Work(
            model=self.config.name,
            device=choose_device(options.device).type,
            threads=threads or torch.get_num_threads(),
            processes=processes,
            steps=self.settings.steps,
            precision=options.precision,
            low_memory=options.low_memory,
            fast_decode=options.fast_decode,
            whole_picture=not options.no_paste_back,
            kind=self.kind,
            pixels=height * width,
        )

    def expected(self, costs: RunCosts, processes: int = 1, threads: int | None = None) -> Expectation | None:
        """Return what the run may cost, see ``work``. Raises SettingsError if it takes more memory than there is."""
        expected = costs.expected(self.work(processes, threads))
        if expected is not None and not expected.rough:
            self.machine.check_memory(expected.cost.memory, torch.device("cpu"))
        return expected

    def load_model(self) -> AnyPipeline:
        """Load the model for this animation."""
        return self.machine.load(self.weights, self.config, self.settings, self.frames, self.picture, len(self.images))

    def encode_identity(self, pipeline: AnyPipeline, progress: ProgressCallback) -> Identity:
        """Return the person of the portraits."""
        return pipeline.encode_identity(self.images, self.choice, self.provider, progress=progress)

    @property
    def choice(self) -> FaceChoice:
        return FaceChoice(index=self.options.face_index)

    def run(self, pipeline: AnyPipeline, progress: ProgressCallback, identity: Identity | None = None) -> VideoFile:
        """Make the video, and the motion file if one is wanted. identity: that of the portraits, if it is known."""
        options = self.options
        unfinished = Unfinished.beside(options.out, self.machine, QUALITY) if options.resume else None
        frames = talk(
            pipeline,
            identity or self.images,
            self.audio,
            options.prompt,
            self.motion,
            self.settings,
            negative_prompt=options.negative_prompt,
            fps=options.fps,
            output="crop" if options.no_paste_back else "full",
            choice=self.choice,
            provider=self.provider,
            head_motion=options.head_motion,
            expression_strength=options.expression_strength,
            liveliness=options.liveliness,
            blinks_per_minute=options.blinks,
            edit=self.edit,
            progress=progress,
            unfinished=unfinished,
        )
        return_freed_memory()  # of finding the face and of the speech: frames are drawn from here on
        pieces = None if unfinished is None else unfinished.pieces
        video = write_video(frames, options.out, frames.fps, self.audio, pieces=pieces)
        if options.motion_out is not None and frames.motion is not None:
            frames.motion[: len(frames)].save(options.motion_out)
        if unfinished is not None:
            unfinished.remove()
        return video

    def remember(self, costs: RunCosts, video: VideoFile, watch: Stopwatch, processes: int = 1) -> None:
        """Remember what the run has cost. watch: its progress callback."""
        times, memory = watch.times(self.frames), peak_memory_mb()
        if times is not None and memory is not None and video.path.is_file():
            size = video.path.stat().st_size / self.frames
            costs.remember(self.work(processes), Cost(*times, memory * 2**20, size))
