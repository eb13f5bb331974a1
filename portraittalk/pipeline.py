"""The arrows of the data flow, as functions over a loaded model: portrait(s), prompt and motion become frames."""

import copy
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .arkit import ARKIT_NAMES
from .compositing.cheeks import other_sides
from .compositing.draw_control import draw_pose
from .compositing.mouth import open_mouth
from .compositing.painter import Painter
from .compositing.structure import build_structure
from .errors import FaceError, MotionError, SettingsError
from .face.align import aligned_crop, extract_crop, to_crop
from .face.detect import FaceProvider
from .face.select import LARGEST, FaceChoice, choose_face, find_face
from .media.audio import Audio
from .models.animate_net import Conditions
from .models.face_basis import FaceBasis
from .models.motion_net import MotionNet
from .motion.geometry import move_landmarks
from .motion.prompted import with_style
from .motion.track import MotionTrack
from .progress import Progress, ProgressCallback, ignore_progress
from .sampling.clip import reference_features
from .sampling.render import Output, render
from .sampling.render_clip import face_map, render_clip
from .sampling.render_prompt import edit_portrait as _edit_portrait
from .sampling.render_prompt import render_prompt
from .sampling.settings import check_complete, check_identity, check_settings, usual_settings
from .speech import whisper
from .speech.features import encode_speech
from .types import Face, Identity, SamplingSettings, Speech, Structure, Style
from .weights.model import Model, PromptModel, ReferenceModel

AnyModel = Model | ReferenceModel | PromptModel

if TYPE_CHECKING:
    from .text.prompt import Asked

logger = logging.getLogger(__name__)


@torch.no_grad()
def encode_identity(
    model: AnyModel,
    images: list[Tensor],
    choice: FaceChoice = LARGEST,
    provider: FaceProvider | None = None,
    faces: list[list[Face]] | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Identity:
    """One person from 1..N pictures (3, H, W) in 0..1; the first is the portrait that is animated.

    A further one with an open mouth also shows what is behind closed lips.

    choice: which face of the portrait; of further references it is the largest. faces: the faces of each picture where
    they are known already (given by hand, or by another landmarker); otherwise ``provider`` finds them, by default
    our own networks. Raises FaceError where there is no such face, SettingsError for a model that cannot be run.
    """
    if not images:
        raise FaceError("An identity needs at least one picture of the person.")
    check_complete(model.config)
    size, width = model.config.crop_size, model.config.crop_width
    chosen: list[Face] = []
    for number, image in enumerate(images):
        which = choice if number == 0 else LARGEST
        known = None if faces is None else choose_face(faces[number], which, image_size(image))
        chosen.append(known or find_face(image, which, provider))
        progress(Progress("find faces", number + 1, len(images)))
    crops = [
        aligned_crop(face.landmarks, image_size(image), size, width) for face, image in zip(chosen, images, strict=True)
    ]
    cut = [extract_crop(image, crop, size) for image, crop in zip(images, crops, strict=True)]
    seen_crops = torch.stack(cut)
    references = seen_crops.to(next(model.autoencoder.parameters()).device)  # the others may be elsewhere
    shown = chosen[0].blendshapes
    latents = model.autoencoder.encode(references.to(model.dtype))
    if isinstance(model, ReferenceModel):
        seen = None if model.image_net is None else model.image_net(references.to(model.dtype))  # (N, 1, D)
        reference = reference_features(model.reference_net, latents, seen)
        tokens = references.new_zeros(0, model.config.animate_net.token_dim) if seen is None else seen[:, 0].float()
    else:
        tokens, reference = model.identity_net(references.to(model.dtype)).float(), {}
        if isinstance(model, PromptModel):
            model.identity_net.nobody()  # worked out while the network is where it works
    landmarks = torch.stack([to_crop(face.landmarks, crop) for face, crop in zip(chosen, crops, strict=True)])
    return Identity(
        portrait=images[0],
        crop=crops[0],
        landmarks=landmarks[0],
        blendshapes=torch.zeros(len(ARKIT_NAMES)) if shown is None else shown,
        references=references,
        latents=latents.float(),
        tokens=tokens,
        reference=reference,
        open_mouth=open_mouth(seen_crops, landmarks),
        sides=other_sides(seen_crops, landmarks),
    )


def encode_style(model: AnyModel, prompt: str = "", negative_prompt: str = "") -> Style:
    """What the text asks for: an expression, the head's pose and the gaze, and the look of the picture, by a sentence
    encoder, so in free words.

    What the negative prompt names is taken away: an expression also from what the portrait itself shows; of looks,
    those of light and colour are turned into their opposite, and ways to draw cancel those of the prompt. A model of
    Stable Diffusion 1.5 draws by the whole prompt instead, looks too. With others the log names what of a prompt asks
    for nothing that is known. Raises SettingsError where that is all of a prompt, and WeightsError where ``tokenizers``
    is not installed, or CLIP's vocabulary not there.
    """
    draws = isinstance(model, PromptModel)
    style = Style(prompt.strip(), negative_prompt.strip())
    if isinstance(model, PromptModel):
        from .text.clip_tokens import prompt_tokens

        tokens, negative_tokens = prompt_tokens(model, prompt), prompt_tokens(model, negative_prompt)
        style = replace(style, tokens=tokens, negative_tokens=negative_tokens)
    if not (prompt.strip() or negative_prompt.strip()) or not model.config.animate_net.motion_modules:
        return style
    wanted, unwanted = (
        _read(text, name, draws) for text, name in ((prompt, "prompt"), (negative_prompt, "negative prompt"))
    )
    style = replace(style, expression=(wanted.expression - unwanted.expression).clamp(-1, 1))
    if draws:
        return style
    from .text.networks import load_look_networks

    look = wanted.look - unwanted.look
    look[load_look_networks().config.lights :].clamp_min_(0)  # a photograph has nothing of a drawing to be taken away
    return replace(style, look=look) if look.any() else style


def _read(text: str, name: str, draws: bool) -> "Asked":
    from .text.prompt import read_prompt

    asked = read_prompt(text)
    if draws:
        return asked
    if asked.unread and not asked.read:
        raise SettingsError(
            f"The {name} '{text.strip()}' names no expression, gaze or pose of the head, and no look that is known: "
            "describe what the face does, such as 'a wide smile, looking left', or a look, such as 'oil painting', "
            "or leave it empty."
        )
    for clause, look in asked.unread:
        logger.warning(
            "Of the %s '%s' is left out: it names no expression, and no known look (the nearest, '%s', is too far).",
            name,
            clause,
            look,
        )
    for clause, look in asked.near:
        logger.warning("The look '%s' of the %s was not learnt; the nearest one is taken: '%s'.", clause, name, look)
    return asked


def painter_of(model: Model, identity: Identity, style: Style, text_scale: float) -> Painter | None:
    """What gives the portrait and its frames the look that a style asks for; None where it asks for none."""
    if style.look is None or not text_scale:
        return None
    from .text.networks import load_look_networks

    net = copy.deepcopy(load_look_networks().net).to(model.device)
    return Painter(net, text_scale * style.look.to(model.device), identity.portrait.to(model.device), identity.crop)


def shown_portrait(model: Model, identity: Identity, style: Style, text_scale: float = 1.0) -> Identity:
    """The identity whose portrait has the look that a style asks for: what crops of ``animate`` belong into."""
    painter = painter_of(model, identity, style, text_scale)
    return identity if painter is None else replace(identity, portrait=painter.portrait.to(identity.portrait))


def animate(
    model: AnyModel,
    identity: Identity,
    speech: Speech,
    style: Style,
    motion: MotionTrack,
    settings: SamplingSettings | None = None,
    output: Output = "full",
    progress: ProgressCallback = ignore_progress,
) -> Iterator[Tensor]:
    """The frames of a talking portrait in 0..1 on the CPU, as an iterator of chunks (n, 3, H, W) of a few frames.

    There are ``len(speech)`` frames. output: "full" pastes each back into the portrait's whole picture; "crop" gives
    the aligned crops (n, 3, S, S), for pasting back later into the portrait, which ``shown_portrait`` gives the look.
    What the style asks of the face is added to the motion, times the text scale; its look is given to the whole
    picture. Without settings, those that the model is best run with. The settings are checked at once, the work is done
    as chunks are asked for; closing the iterator, or raising in ``progress``, ends it. Raises SettingsError,
    MotionError.
    """
    settings = settings or usual_settings(model.config)
    check_settings(settings, model.config)
    basis = face_motion(model)[1]
    if len(motion) < len(speech) or abs(motion.fps - speech.fps) > 1e-6:
        raise MotionError(
            f"The motion has {len(motion)} frames at {motion.fps:g} a second, the speech {len(speech)} at "
            f"{speech.fps:g}: make the motion from this speech, or choose a motion that is at least as long."
        )
    check_identity(identity, model.config)
    motion = with_style(motion, style, settings.scales.text)
    device = model.device
    identity = identity.to(device)

    @torch.no_grad()
    def structure_of(frames: slice) -> Structure:
        return build_structure(identity, motion[frames].to(device), basis, model.config)

    if isinstance(model, ReferenceModel):
        landmarks = move_landmarks(identity.landmarks, identity.blendshapes, motion[: len(speech)].to(device), basis)
        drawn = draw_pose(landmarks, model.config.crop_size, model.config.structure.map_size)
        return render_clip(model, identity, len(speech), Conditions(map=drawn[None]), settings, output, progress)
    heard, asked = speech.to(device), style.to(device)
    if isinstance(model, PromptModel):
        return render_prompt(model, identity, heard, asked, structure_of, settings, output, progress)
    painter = painter_of(model, identity, style, settings.scales.text)
    return render(model, identity, heard, asked, structure_of, settings, output, progress, painter)


def face_motion(model: AnyModel) -> tuple[MotionNet, FaceBasis]:
    """What makes a face's motion out of speech, and landmarks out of that. Raises SettingsError for a model that edits
    pictures only."""
    if isinstance(model, ReferenceModel) and model.speech_encoder is not None:
        raise SettingsError(f"The model '{model.config.name}' makes its motion itself: give it speech alone.")
    if model.motion_net is None or model.basis is None:
        raise SettingsError(
            f"The model '{model.config.name}' edits pictures and cannot make them speak: edit the portrait with it, "
            "and animate what comes out with another."
        )
    return model.motion_net, model.basis


def edit_portrait(
    model: PromptModel,
    identity: Identity,
    style: Style,
    settings: SamplingSettings | None = None,
    whole: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> Tensor:
    """The portrait as the prompt asks for it, still the same person: (3, H, W) in 0..1 on the CPU.

    Only the face's surroundings are redrawn, or with ``whole`` all of the picture, which a large one loses detail by.
    A strength of 0 gives the portrait itself; 1 keeps nothing of it but the person. Encode the identity again from
    what comes out, to animate it. Raises SettingsError.
    """
    settings = settings or usual_settings(model.config)
    check_settings(settings, model.config)
    check_identity(identity, model.config)
    return _edit_portrait(model, identity.to(model.device), style.to(model.device), settings, whole, progress)


def hear(model: AnyModel, audio: Audio, fps: float, progress: ProgressCallback = ignore_progress) -> Speech:
    """The speech as the model listens to it: log-mel patches, or Whisper's features. Raises SettingsError for an fps
    that is not above 0."""
    if not isinstance(model, ReferenceModel) or model.speech_encoder is None:
        return encode_speech(audio, fps, model.config.speech, progress)
    return whisper.encode_speech(audio, fps, model.speech_encoder, model.config.speech, progress)


def animate_by_speech(
    model: ReferenceModel,
    identity: Identity,
    speech: Speech,
    settings: SamplingSettings | None = None,
    output: Output = "full",
    progress: ProgressCallback = ignore_progress,
) -> Iterator[Tensor]:
    """As ``animate``, with a model of public weights, which makes the head's motion as well as the face's from speech.

    speech: from ``hear`` with the same model. Without settings, those that the model is best run with.
    """
    config = model.config
    settings = settings or usual_settings(config)
    check_settings(settings, config)
    check_identity(identity, config)
    if model.speech_encoder is None:
        raise SettingsError(
            f"The model '{config.name}' follows poses, not speech: make a motion track from the speech."
        )
    identity = identity.to(model.device)
    conditions = Conditions(
        map=face_map(identity.landmarks, config.crop_size)[None, None], speech=speech.features[None]
    )
    return render_clip(model, identity, len(speech), conditions, settings, output, progress)


def image_size(image: Tensor) -> tuple[int, int]:
    """(height, width) of a picture (..., H, W)."""
    return image.shape[-2], image.shape[-1]
