"""The networks and methods that the kinds of pipelines share."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..arkit import ARKIT_NAMES
from ..checks import check_type
from ..compositing.lips import settle_lips
from ..compositing.mouth import open_mouth
from ..compositing.structure import build_structure
from ..config import PortraitTalkConfig
from ..errors import FaceError, MotionError, SettingsError
from ..face.align import aligned_crop, extract_crop, to_crop
from ..face.detect import FaceProvider
from ..face.mesh import frontal
from ..face.select import LARGEST, FaceChoice, choose_face, find_people, other_people
from ..face.turned import unfolded
from ..media.sound import Sound
from ..media.tensors import check_pictures
from ..memory.estimate import Estimate, MeasureStages, estimate
from ..memory.offload import Stage
from ..models.face_basis import FaceBasis, load_basis
from ..models.motion_net import MotionNet
from ..motion.eyes import BLINKS_PER_MINUTE
from ..motion.lip_form import lip_form
from ..motion.manner import Manner
from ..motion.prompted import with_style
from ..motion.speech_to_motion import speech_to_motion
from ..motion.timed import over_time
from ..motion.track import MotionTrack, check_motion
from ..progress import Progress, ProgressCallback, ignore_progress
from ..sampling.settings import check_complete, check_seed, check_settings, check_strengths, usual_settings
from ..speech.features import encode_speech
from ..text.style import read_style
from ..types import Crop, Face, Identity, SamplingSettings, Speech, Structure, Style, image_size
from .base import FROM_THE_START, Checkpoint, Output, StructureOf
from .finite import check_finite
from .suitability import warnings_about

logger = logging.getLogger(__name__)


def _place_nothing(stage: Stage) -> None:
    """Leave the networks on their devices."""


@dataclass(frozen=True)
class PipelineBase:
    """The networks that every kind has, and the methods that several kinds share.

    place: called before each stage of a run, to move the networks of that stage to their device (``memory.offload``).
    """

    config: PortraitTalkConfig
    place: Callable[[Stage], None] = field(default=_place_nothing, kw_only=True, compare=False, repr=False)

    edits_pictures: ClassVar[bool] = False  # whether ``edit_portrait`` works
    follows_structure: ClassVar[bool] = False  # whether ``render`` works, which takes any given structure
    turns_head: ClassVar[bool] = False  # whether the compositor turns the head, instead of the network
    stage_peaks: ClassVar[MeasureStages | None] = None  # measures a run's memory; None for small models
    fixed_precision: ClassVar[bool] = False  # whether it always runs in float32, without offloading and compiling

    @classmethod
    def build(cls, config: PortraitTalkConfig, networks: Mapping[str, nn.Module], folder: Path) -> Self:
        """Build the pipeline from networks by name. folder: that of the weights file, for files beside it."""
        return cls(config=config, **networks)  # each name is a field of its type

    def modules(self) -> dict[str, nn.Module]:
        """Return the networks by name, which is also the prefix of their keys in a weights file."""
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}

    @property
    def drawing_net(self) -> nn.Module:
        """The network that draws the frames, on the model's device and in its precision."""
        raise NotImplementedError  # every kind has its own

    @property
    def device(self) -> torch.device:
        """The device of the drawing network's parameters."""
        return next(self.drawing_net.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the drawing network's parameters."""
        return next(self.drawing_net.parameters()).dtype

    def signature(self) -> tuple[Any, ...]:
        """Return what the frames depend on beside the inputs of ``animate``, for a digest."""
        return self.config, self.modules(), str(self.device), self.dtype

    @property
    def makes_motion(self) -> bool:
        """Whether the denoiser makes the motion from speech, so that prompts and motion tracks have no effect."""
        return self.config.makes_motion

    @classmethod
    def memory(
        cls,
        config: PortraitTalkConfig,
        frames: int,
        settings: SamplingSettings,
        dtype: torch.dtype = torch.float16,
        device: str = "cuda",
        picture: tuple[int, int] = (0, 0),
        references: int = 1,
        offload: bool = False,
    ) -> Estimate | None:
        """Estimate the memory of a run over ``frames`` frames, see ``memory.estimate``; None for small models."""
        if cls.stage_peaks is None:
            return None
        return estimate(cls.stage_peaks, config, frames, settings, dtype, device, picture, references, offload)

    @torch.no_grad()
    def encode_identity(
        self,
        images: list[Tensor],
        choice: FaceChoice = LARGEST,
        provider: FaceProvider | None = None,
        faces: list[list[Face]] | None = None,
        progress: ProgressCallback = ignore_progress,
    ) -> Identity:
        """Encode one person from 1..N pictures (3, H, W) in 0..1; the first is the portrait to animate.

        A further picture with an open mouth supplies the inside of the mouth. choice: which face of the portrait; the
        largest is taken from the others. faces: the faces of each picture, if known (set by hand, or from another
        landmarker); otherwise ``provider`` finds them, by default our own networks. What in the portrait will hurt the
        result is logged as warnings (``suitability``). Raises FaceError where there is no such face, MediaError for
        pictures of another form, SettingsError for a model that cannot be run.
        """
        return self._encode_person(*self._encode_references(images, choice, provider, faces, progress))

    def _encode_person(self, identity: Identity, references: Tensor) -> Identity:
        """Return the identity with what the networks of this kind make of the reference crops (N, 3, S, S)."""
        raise NotImplementedError  # every kind has its own way

    def _crop(self, landmarks: Tensor, image_size: tuple[int, int]) -> Crop:
        """Return the crop of a face that the networks take. landmarks: (478, 3) in pixels of the picture."""
        return aligned_crop(landmarks, image_size, self.config.crop_size, self.config.crop_width)

    @property
    def encoding_net(self) -> nn.Module:
        """A network that sees the references; offloaded networks may be on another device than it."""
        raise NotImplementedError  # every kind has its own

    def encode_speech(self, audio: Sound, fps: float, progress: ProgressCallback = ignore_progress) -> Speech:
        """Return speech features at the video's frame rate. Raises SettingsError unless fps is above 0."""
        self.place("speech")
        return encode_speech(audio, fps, self.config.speech, progress)

    def encode_style(self, prompt: str = "", negative_prompt: str = "") -> Style:
        """Return the expression, head pose, gaze and look that the prompts ask for, see ``text.style.read_style``."""
        return read_style(prompt, negative_prompt)

    def make_motion(
        self,
        speech: Speech,
        seed: int = 0,
        head_motion: float = 1.0,
        expression_strength: float = 1.0,
        progress: ProgressCallback = ignore_progress,
        *,
        liveliness: float = 1.0,
        blinks_per_minute: float = BLINKS_PER_MINUTE,
        style: Style | None = None,
        text_scale: float = 1.0,
    ) -> MotionTrack:
        """Make a motion track from speech, see ``motion.speech_to_motion``.

        style: its manner of moving, times ``text_scale``, changes tempo and amplitude of the motion; its expression is
        added later, by ``animate``.

        Raises SettingsError for a model that makes its own motion or only edits pictures, and for a seed or strength
        out of range.
        """
        check_seed(seed)
        check_strengths(head_motion, expression_strength, liveliness, blinks_per_minute)
        if style is not None and style.parts:
            strengths = seed, head_motion, expression_strength
            return over_time(
                lambda part: self.make_motion(
                    speech,
                    *strengths,
                    progress,
                    liveliness=liveliness,
                    blinks_per_minute=blinks_per_minute,
                    style=part,
                    text_scale=text_scale,
                ),
                style,
            )
        self.place("speech")
        track = speech_to_motion(
            self.face_motion()[0],
            speech,
            seed,
            head_motion,
            expression_strength,
            progress,
            liveliness=liveliness,
            blinks_per_minute=blinks_per_minute,
            manner=Manner.of(style, text_scale),
        )
        check_finite(track.expression, self.config, "motion")
        return track

    def face_motion(self) -> tuple[MotionNet, FaceBasis]:
        """Return the network from speech to motion, and the basis from motion to landmarks.

        Raises SettingsError as ``make_motion`` does.
        """
        if self.makes_motion:
            raise SettingsError(f"The model '{self.config.name}' makes its own motion: give it only speech.")
        networks = self.modules()
        motion_net, basis = networks.get("motion_net"), networks.get("basis")
        if not isinstance(motion_net, MotionNet) or not isinstance(basis, FaceBasis):
            raise SettingsError(
                f"The model '{self.config.name}' edits pictures and cannot animate them: edit the portrait with it, "
                "and animate the result with another model."
            )
        return motion_net, basis

    def animate(
        self,
        identity: Identity,
        speech: Speech,
        style: Style | None = None,
        motion: MotionTrack | None = None,
        settings: SamplingSettings | None = None,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """Return the ``len(speech)`` frames of a talking portrait in 0..1 on the CPU, as an iterator of (n, 3, H, W).

        A chunk has a few frames. output: "full" pastes each crop back into the whole picture; "crop" yields the aligned
        crops (n, 3, S, S), to be pasted later into the portrait of ``shown_portrait``, which has the look. The style's
        expression, times the text scale, is added to the motion; its look is applied to the whole picture. settings: by
        default the model's recommended ones.

        Settings are checked at once; chunks are computed lazily. Closing the iterator, or raising in ``progress``,
        stops the run. checkpoint: where the run begins, and what saves its progress (``unfinished.Unfinished``).
        Raises SettingsError, MotionError.
        """
        style = self._complete_style(style)
        settings = self.checked(identity, settings)
        track, basis = self.motion_for(speech, style, motion, settings.scales.text)
        self.place("denoise")
        device = self.device
        identity = identity.to(device)

        def structure_of(frames: slice) -> Structure:
            return self.structure(identity, track[frames].to(device), basis)

        return self.render(identity, speech, style, structure_of, settings, output, progress, checkpoint)

    @torch.no_grad()
    def structure(self, identity: Identity, motion: MotionTrack, basis: FaceBasis) -> Structure:
        """Return what geometry says of the frames of a motion track, all on one device."""
        return build_structure(identity, motion, basis, self.config, self.turns_head)

    def _complete_style(self, style: Style | None) -> Style:
        """Return the style, or one that asks for nothing, with all that the networks of this kind need."""
        return style or Style()

    def edit_portrait(
        self,
        identity: Identity,
        style: Style,
        settings: SamplingSettings | None = None,
        whole: bool = False,
        progress: ProgressCallback = ignore_progress,
    ) -> Tensor:
        """Return the portrait edited by the prompt. Raises SettingsError for a model that cannot edit pictures."""
        self.require_editing()
        raise NotImplementedError  # pipelines that edit pictures override this method

    def render(
        self,
        identity: Identity,
        speech: Speech,
        style: Style,
        structure_of: StructureOf,
        settings: SamplingSettings,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """As ``animate``, for a given structure, such as that of a real video; inputs are not checked.

        structure_of: returns the structure of a slice of the speech's frames, on the model's device. Raises
        SettingsError where ``follows_structure`` is False.
        """
        raise SettingsError(
            f"The model '{self.config.name}' cannot render a given structure: choose a model that can, such as mini."
        )

    def require_editing(self) -> None:
        """Raise SettingsError for a model that cannot edit pictures."""
        if not self.edits_pictures:
            raise SettingsError(
                f"The model '{self.config.name}' cannot edit pictures: choose one based on Stable Diffusion 1.5."
            )

    def shown_portrait(self, identity: Identity, style: Style, text_scale: float = 1.0) -> Identity:
        """Return the identity with the style's look applied to its portrait, for pasting crops of ``animate`` into."""
        return identity

    def checked(self, identity: Identity, settings: SamplingSettings | None) -> SamplingSettings:
        """Return the settings, or the model's recommended ones.

        Raises SettingsError for settings out of range, and for an identity encoded by another model.
        """
        settings = settings or usual_settings(self.config)
        check_settings(settings, self.config)
        check_identity(identity, self.config)
        return settings

    def motion_for(
        self, speech: Speech, style: Style, motion: MotionTrack | None, text_scale: float
    ) -> tuple[MotionTrack, FaceBasis]:
        """Return the motion of a run, with the style's expression times the text scale added, and the basis.

        Raises MotionError for a motion that does not fit the speech.
        """
        basis = self.face_motion()[1]
        if motion is None:
            raise MotionError(f"The model '{self.config.name}' needs a motion track: make one from the speech.")
        check_motion(motion)
        if len(motion) < len(speech) or abs(motion.fps - speech.fps) > 1e-6:
            raise MotionError(
                f"The motion track has {len(motion)} frames at {motion.fps:g} fps, the speech {len(speech)} at "
                f"{speech.fps:g} fps: make the motion from this speech, or choose one of the same frame rate that is "
                "at least as long."
            )
        return with_style(motion, style, text_scale, basis), basis

    def _encode_references(
        self,
        images: list[Tensor],
        choice: FaceChoice,
        provider: FaceProvider | None,
        faces: list[list[Face]] | None,
        progress: ProgressCallback,
    ) -> tuple[Identity, Tensor]:
        """Return the identity with empty tokens, and the reference crops (N, 3, S, S) on the device of the networks."""
        if not images:
            raise FaceError("No picture was given: an identity needs at least one picture of the person.")
        check_type("The choice of the face", choice, FaceChoice, "a FaceChoice", FaceError)
        for number, image in enumerate(images):
            check_pictures(image, f"Picture {number + 1}" if number else "The portrait")
        check_complete(self.config)
        size = self.config.crop_size
        chosen: list[Face] = []
        others: list[Face] = []  # in the portrait
        for number, image in enumerate(images):
            which = choice if number == 0 else LARGEST
            if faces is None:
                face, rest = find_people(image, which, provider)
            else:
                face = choose_face(faces[number], which, image_size(image))
                rest = other_people(faces[number], face)
            chosen.append(face)
            others = others if number else rest
            progress(Progress("find faces", number + 1, len(images)))
        for warning in warnings_about(images[0], chosen[0]):
            logger.warning(warning)
        crops = [self._crop(face.landmarks, image_size(image)) for face, image in zip(chosen, images, strict=True)]
        cropped = torch.stack([extract_crop(image, crop, size) for image, crop in zip(images, crops, strict=True)])
        landmarks = torch.stack([to_crop(face.landmarks, crop) for face, crop in zip(chosen, crops, strict=True)])
        shapes = [torch.zeros(len(ARKIT_NAMES)) if face.blendshapes is None else face.blendshapes for face in chosen]
        landmarks, blendshapes = settle_lips(cropped, landmarks, torch.stack(shapes))
        landmarks = unfolded(landmarks)
        expression = blendshapes[0] - lip_form(blendshapes[0], frontal(landmarks[0], load_basis().mean.to(landmarks)))
        self.place("reference")
        references = cropped.to(next(self.encoding_net.parameters()).device)
        identity = Identity(
            portrait=images[0],
            crop=crops[0],
            landmarks=landmarks[0],
            blendshapes=expression,
            references=references,
            tokens=references.new_zeros(0, self.config.animate_net.token_dim),
            open_mouth=open_mouth(cropped, landmarks),
            others=torch.stack([to_crop(face.landmarks, crops[0]) for face in others]) if others else None,
        )
        return self._complete_person(identity, images, crops, cropped, landmarks), references.to(self.dtype)

    def _complete_person(
        self, identity: Identity, images: list[Tensor], crops: list[Crop], cropped: Tensor, landmarks: Tensor
    ) -> Identity:
        """Return the identity with what this kind of model needs of the pictures beyond their crops.

        crops: where ``cropped`` (N, 3, S, S) lie in the pictures. landmarks: (N, 478, 3) in their pixels.
        """
        return identity


def check_identity(identity: Identity, config: PortraitTalkConfig) -> None:
    """Raise SettingsError for an identity encoded by another model."""
    net, tokens = config.animate_net, identity.tokens.shape[-1]
    if identity.crop.size != config.crop_size:
        raise SettingsError(
            f"The identity was encoded from crops of {identity.crop.size} pixels, but the model '{config.name}' uses "
            f"{config.crop_size}: encode the identity with the model that animates it."
        )
    if (
        tokens != net.token_dim
        or bool(identity.close_ups) != bool(config.window_size)
        or bool(identity.reference) != (net.reference_attention or config.kind == "keypoints")
    ):
        raise SettingsError(
            f"The identity was encoded for another kind of model than '{config.name}': encode it with this model."
        )
