"""The whole way in one call: portraits, audio and prompt become the frames of a talking portrait."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..face.detect import FaceProvider
from ..face.select import LARGEST, FaceChoice
from ..media.audio import Audio, read_audio
from ..media.image import read_image
from ..motion.track import MotionTrack
from ..motion.transform import fit_to_speech, scale
from ..progress import ProgressCallback, ignore_progress
from ..sampling.settings import check_fps, check_number, check_settings, usual_settings
from ..types import Identity, SamplingSettings, Speech, Style
from .base import Output
from .load import AnyPipeline, load_model

Picture = Tensor | Path | str


@dataclass(frozen=True)
class TalkingFrames:
    """The frames of one run, made while they are iterated over, once: chunks (n, 3, H, W) in 0..1 on the CPU.

    What they are made from stands beside them. motion: the track that moves the face, at the frame rate of the speech;
    None for models that make it themselves. ``len`` is the number of frames in all chunks.
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
    audio: Audio | Path | str | Speech,
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
    progress: ProgressCallback = ignore_progress,
) -> TalkingFrames:
    """Make a portrait speak.

    model: from ``load_model``, or a name for it. portraits: one or several pictures of one person, files or tensors
    (3, H, W) in 0..1; the first is animated. An identity that the model has encoded may stand for them, and encoded
    speech for the audio. motion: moves the face in place of a track made from the speech by ``settings.seed``; it may
    have another frame rate. settings: by default those that the model is best run with. fps: frames a second; their
    number is that of the audio's length. output: "full" for whole pictures, "crop" for aligned face crops. choice:
    which face of the portrait. provider: finds the faces, by default our own networks. head_motion,
    expression_strength: 1 is natural, 0 is none.

    Everything is checked, and the inputs are encoded, before this returns; frames are made as they are asked for.
    Raises a PortraitTalkError with one sentence for what cannot work.
    """
    pipeline = load_model(model) if isinstance(model, str) else model
    settings = settings or usual_settings(pipeline.config)
    check_fps(fps)
    check_number("head motion", head_motion)
    check_number("expression strength", expression_strength)
    check_settings(settings, pipeline.config)
    check_inputs(pipeline.config, prompt, negative_prompt, motion is not None)
    style = Style() if pipeline.makes_motion else pipeline.encode_style(prompt, negative_prompt)
    if isinstance(portraits, Identity):
        identity = portraits
    else:
        pictures = [portraits] if isinstance(portraits, (Tensor, Path, str)) else portraits
        identity = pipeline.encode_identity([_read(one) for one in pictures], choice, provider, progress=progress)
    if isinstance(audio, Speech):
        speech = audio
    else:
        sound = audio if isinstance(audio, Audio) else read_audio(Path(audio))
        speech = pipeline.encode_speech(sound, fps, progress)
    track: MotionTrack | None = None
    if motion is not None:
        track = scale(fit_to_speech(motion, len(speech), speech.fps), expression_strength, head_motion)
    elif not pipeline.makes_motion:
        track = pipeline.make_motion(speech, settings.seed, head_motion, expression_strength, progress)
    chunks = pipeline.animate(identity, speech, style, track, settings, output, progress)
    return TalkingFrames(chunks, identity, speech, style, track)


def check_inputs(config: PortraitTalkConfig, prompt: str, negative_prompt: str, moved: bool) -> None:
    """Raises SettingsError for a prompt or a motion track given to a model that makes its motion itself."""
    if config.makes_motion and (prompt or negative_prompt or moved):
        raise SettingsError(f"The model '{config.name}' makes its motion itself: leave out prompts and motion tracks.")


def _read(picture: Picture) -> Tensor:
    return picture if isinstance(picture, Tensor) else read_image(Path(picture)).flattened()
