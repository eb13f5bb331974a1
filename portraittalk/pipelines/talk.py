"""``talk``: from portraits, audio and prompt to the frames of a talking portrait in one call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..checks import check_choice, check_type
from ..config import PortraitTalkConfig
from ..errors import MediaError, SettingsError
from ..face.detect import FaceProvider
from ..face.select import LARGEST, FaceChoice
from ..media.audio import Audio
from ..media.image import read_image
from ..media.sound import AudioFile, Sound, check_sound, open_audio
from ..motion.eyes import BLINKS_PER_MINUTE
from ..motion.keyframes import MotionEdit
from ..motion.track import MotionTrack, check_motion
from ..motion.transform import fit_to_speech, scale
from ..progress import ProgressCallback, ignore_progress
from ..sampling.settings import check_fps, check_settings, check_strengths, usual_settings
from ..types import Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Output
from .load import AnyPipeline, load_model
from .shared import PipelineBase
from .unfinished import Unfinished
from .within_memory import animate_within_memory

Picture = Tensor | Path | str


@dataclass(frozen=True)
class TalkingFrames:
    """The frames of one run: chunks (n, 3, H, W) in 0..1 on the CPU, computed lazily; they can be iterated over once.

    The encoded inputs are fields. motion: the track that moves the face, at the fps of the speech; None for models that
    make their own motion. ``len`` is the number of frames of the video, with those that an earlier run has finished.
    """

    chunks: Iterator[Tensor]
    identity: Identity
    speech: Speech
    style: Style
    motion: MotionTrack | None

    @property
    def fps(self) -> float:
        return self.speech.fps

    def __iter__(self) -> Iterator[Tensor]:
        return self.chunks

    def __len__(self) -> int:
        return len(self.speech)


def talk(
    model: AnyPipeline | str,
    portraits: Picture | Sequence[Picture] | Identity,
    audio: Sound | Path | str | Speech,
    prompt: str = "",
    motion: MotionTrack | None = None,
    settings: SamplingSettings | None = None,
    *,
    negative_prompt: str = "",
    fps: float = 25.0,
    output: Output = "full",
    choice: FaceChoice = LARGEST,
    provider: FaceProvider | None = None,
    head_motion: float = 1.0,
    expression_strength: float = 1.0,
    liveliness: float = 1.0,
    blinks_per_minute: float = BLINKS_PER_MINUTE,
    edit: MotionEdit | None = None,
    progress: ProgressCallback = ignore_progress,
    unfinished: Unfinished | None = None,
) -> TalkingFrames:
    """Make a portrait speak.

    model: from ``load_model``, or its name. portraits: one or several pictures of one person, as files or tensors
    (3, H, W) in 0..1, the first being animated; or an identity encoded by this model. audio: a file, audio, or encoded
    speech. motion: replaces the track made from the speech and ``settings.seed``; it may have another frame rate.
    settings: by default the model's recommended ones. fps: of the video, which is as long as the audio. output: "full"
    for whole pictures, "crop" for aligned face crops. choice: which face of the portrait. provider: finds the faces, by
    default our own networks. head_motion, expression_strength: 1 is natural, 0 is none. liveliness: of head, brows and
    gaze in motion made from speech: 0 is still, 1 a natural speaker, 2 a lively one. blinks_per_minute: on average.
    edit: changes the motion over time, after everything else.
    unfinished: keeps what is finished, and begins after what an earlier run has finished; its ``pieces`` go to
    ``write_video``.

    All inputs are checked and encoded before this returns; frames are computed lazily. Raises a PortraitTalkError with
    a one-sentence message for invalid inputs.
    """
    pipeline, settings = checked_model(model, settings, fps)
    check_strengths(head_motion, expression_strength, liveliness, blinks_per_minute)
    check_type("The prompt", prompt, str, "text", SettingsError)
    check_type("The negative prompt", negative_prompt, str, "text", SettingsError)
    check_choice("The output", output, ("full", "crop"))
    if motion is not None:
        check_motion(motion)
    check_inputs(pipeline.config, prompt, negative_prompt, motion is not None or edit is not None)
    sound = audio if isinstance(audio, (Audio, AudioFile, Speech)) else open_audio(audio)
    if not isinstance(sound, Speech):
        check_sound(sound)
    style = Style() if pipeline.makes_motion else pipeline.encode_style(prompt, negative_prompt)
    if isinstance(portraits, Identity):
        identity = portraits
    else:
        identity = pipeline.encode_identity(_read(portraits), choice, provider, progress=progress)
    speech = sound if isinstance(sound, Speech) else pipeline.encode_speech(sound, fps, progress)
    track: MotionTrack | None = None
    if motion is not None:
        track = scale(fit_to_speech(motion, len(speech), speech.fps), expression_strength, head_motion)
    elif not pipeline.makes_motion:
        track = pipeline.make_motion(
            speech,
            settings.seed,
            head_motion,
            expression_strength,
            progress,
            liveliness=liveliness,
            blinks_per_minute=blinks_per_minute,
            style=style,
            text_scale=settings.scales.text,
        )
    if track is not None and edit is not None:
        track = edit.apply(track)
    checkpoint = FROM_THE_START
    if unfinished is not None:
        checkpoint = unfinished.take_up(*pipeline.signature(), identity, speech, style, track, settings, output)
    chunks = animate_within_memory(pipeline, identity, speech, style, track, settings, output, progress, checkpoint)
    return TalkingFrames(chunks, identity, speech, style, track)


def checked_model(
    model: AnyPipeline | str, settings: SamplingSettings | None, fps: float
) -> tuple[AnyPipeline, SamplingSettings]:
    """Return the model, loaded if it is a name, and the settings, by default its recommended ones.

    Raises SettingsError for something else than a model, and for settings or a frame rate that it cannot be run with.
    """
    pipeline = load_model(model) if isinstance(model, str) else model
    check_type("The model", pipeline, PipelineBase, "a model of load_model or its name", SettingsError)
    settings = settings or usual_settings(pipeline.config)
    check_fps(fps)
    check_settings(settings, pipeline.config)
    return pipeline, settings


def check_inputs(config: PortraitTalkConfig, prompt: str, negative_prompt: str, has_motion: bool) -> None:
    """Raise SettingsError for a prompt or a motion track given to a model that makes its own motion."""
    if config.makes_motion and (prompt or negative_prompt or has_motion):
        raise SettingsError(f"The model '{config.name}' makes its own motion: leave out prompts and motion tracks.")


def _read(portraits: Picture | Sequence[Picture]) -> list[Tensor]:
    wanted = "pictures (paths or tensors) or an Identity"
    check_type("The portraits", portraits, (Tensor, Path, str, Sequence), wanted, MediaError)
    pictures = [portraits] if isinstance(portraits, (Tensor, Path, str)) else portraits
    return [one if isinstance(one, Tensor) else read_image(one).flattened() for one in pictures]
