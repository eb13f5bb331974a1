"""``dub``: the face in a film speaks other audio; everything else in the film stays as it is.

Every frame of the film is its own portrait: its lips, cheeks and chin are moved to where the new speech wants them in
the head's pose of that frame, and the network draws the mouth window. Head, eyes, brows and background are the film's.
Only models that draw a mouth window can do this. The paper has no such part; it is our own addition.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from ..arkit import ARKIT_NAMES
from ..checks import check_type
from ..compositing.compose import Compositor
from ..compositing.draw import blurred, drawn_share, enlarged, fill, mouth_opening
from ..compositing.mouth_window import CORNERS, close_up, mouth_window, warp_window
from ..compositing.part import Drawn
from ..compositing.structure import window_structure
from ..compositing.warp import flow_between
from ..config import PortraitTalkConfig
from ..errors import FaceError, MediaError, SettingsError
from ..face.align import aligned_crop, eye_distance, to_crop
from ..face.detect import FaceProvider
from ..face.mesh import MeshProvider
from ..face.rigid import apply_rigid, rigid_fit, undo_rigid
from ..face.search import area, overlap
from ..face.topology import LIPS_OUTER
from ..media.audio import Audio, check_audio, read_audio
from ..media.reader import VideoReader, read_video
from ..models.face_basis import FaceBasis
from ..motion.geometry import MOUTH_SHAPES, lip_aperture, move_landmarks, rotation_angles, tongue_of
from ..motion.track import MotionTrack
from ..motion.transform import low_pass
from ..progress import Progress, ProgressCallback, ignore_progress
from ..sampling.settings import check_strengths
from ..smooth import smoothstep
from ..types import Face, Identity, SamplingSettings, Speech, Structure, image_size
from .load import AnyPipeline
from .streaming import Counter
from .talk import checked_model
from .window import WindowInputs, WindowPipeline

STEADY = 0.7  # frames over which landmarks are smoothed, as a standard deviation: they jitter, and mouths with them
LIPS = 1.1  # enlargement of the outline of the lips to what is certainly lip
AROUND = 1.4  # enlargement of the lips to what is shown of the new mouth
SOFT = 0.06  # standard deviation of its edge, of the window's side
REST = 0.15  # share of the film's frames, those with the most closed lips, of which the resting face is the mean
UNUSUAL, TURNED = 0.3, 0.1  # weight of the width of a mouth, and of the head's yaw in radians, beside its aperture
EYES = (33, 133, 362, 263)  # their corners
CHEEKS = (0.2, 0.5)  # eye distances below the eyes over which the face begins to follow the new speech
REACH = 0.3  # displacement of a landmark by the mouth, relative to the largest, from which it follows the new speech
SAME_FACE = 0.2  # IoU of two boxes of successive frames above which they can be one face
JUMP = 0.4  # eye distances that all of a face moves between two frames of different shots
FADE = 3  # frames next to frames without a face over which the new mouth appears

log = logging.getLogger(__name__)


class Film(Protocol):
    """Frames (3, H, W) in 0..1 that can be read several times, at a constant frame rate; such as a ``VideoReader``."""

    @property
    def fps(self) -> float | Fraction: ...

    def __iter__(self) -> Iterator[Tensor]: ...


@dataclass(frozen=True)
class Pictures:
    """A film that is in memory. frames: (F, 3, H, W) in 0..1."""

    frames: Tensor
    fps: float

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.frames)


@dataclass(frozen=True)
class Dubbed:
    """The frames of a dubbed film: chunks (1, 3, H, W) in 0..1 on the CPU, computed lazily; they can be iterated over
    once. audio: the speech, as long as the film. identity: the person. speech, motion: what moves the mouth.
    """

    chunks: Iterator[Tensor]
    fps: float
    audio: Audio
    identity: Identity
    speech: Speech
    motion: MotionTrack

    def __iter__(self) -> Iterator[Tensor]:
        return self.chunks

    def __len__(self) -> int:
        return len(self.motion)


def dub(
    model: AnyPipeline | str,
    film: Film | Path | str,
    audio: Audio | Path | str,
    settings: SamplingSettings | None = None,
    *,
    provider: FaceProvider | None = None,
    expression_strength: float = 1.0,
    progress: ProgressCallback = ignore_progress,
) -> Dubbed:
    """Make a face of a film speak: the largest of its first frames, which is then followed.

    The result is as long as the film: a longer speech is cut, a shorter one is followed by silence. Frames without a
    face stay as they are. provider: finds the faces, by default our own networks. expression_strength: of the mouth's
    motion; 1 is natural.

    The film is read for its faces and for some pictures of the person before this returns, and once more for the
    frames, which are computed lazily. Raises a PortraitTalkError with a one-sentence message for invalid inputs.
    """
    video = read_video(film) if isinstance(film, (Path, str)) else film
    check_type("The film", video, (VideoReader, Pictures), "a video of read_video, its file, or Pictures", MediaError)
    pipeline, settings = checked_model(model, settings, float(video.fps))
    check_dubs(pipeline.config)
    assert isinstance(pipeline, WindowPipeline)  # the only kind with a window
    check_strengths(0.0, expression_strength, 0.0, 0.0)
    sound = audio if isinstance(audio, Audio) else read_audio(audio)
    check_audio(sound)
    landmarks, found = followed(video, provider or MeshProvider(), progress)
    faces = Faces.of(landmarks, found, pipeline.basis)
    known = [[Face(landmarks[number])] for number in faces.shown]
    identity = pipeline.encode_identity(_frames(video, faces.shown), faces=known, progress=progress)
    sound = _as_long(sound, len(found) / float(video.fps))
    speech = pipeline.encode_speech(sound, float(video.fps), progress)
    made = pipeline.make_motion(speech, settings.seed, 0.0, expression_strength, progress, liveliness=0.0)
    motion = made[: len(found)]
    chunks = _dubbed(pipeline, video, faces, identity, speech, motion, settings, progress)
    return Dubbed(chunks, float(video.fps), sound, identity, speech, motion)


def check_dubs(config: PortraitTalkConfig) -> None:
    """Raise SettingsError for a model that does not draw a mouth window."""
    if not config.window_size:
        raise SettingsError(f"The model '{config.name}' cannot dub a film: choose mini.")


@dataclass(frozen=True)
class Faces:
    """One person's face in F frames of a film.

    landmarks: (F, 478, 3) in pixels, steadied. presence: (F,) in 0..1, how much of the new mouth is shown. frontal:
    (F, 478, 3), the faces seen from the front, in eye distances. pose: rotation (F, 3, 3), scale (F,) and offset (F, 3)
    that bring them into the film. rest: (478, 3), the frontal face with its mouth at rest. shown: frames that show
    whose mouth it is: the first with the mouth at rest, the second, if there is one, wide open.
    """

    landmarks: Tensor
    presence: Tensor
    frontal: Tensor
    pose: tuple[Tensor, Tensor, Tensor]
    rest: Tensor
    shown: tuple[int, ...]

    @classmethod
    def of(cls, landmarks: Tensor, found: Tensor, basis: FaceBasis) -> "Faces":
        """landmarks: (F, 478, 3); found: (F,), where there is a face."""
        steady = landmarks.clone()
        for shot in shots(landmarks, found):
            steady[shot] = low_pass(landmarks[shot].flatten(1), STEADY).view_as(landmarks[shot])
        pose = rigid_fit(basis.mean.cpu().expand_as(steady), steady)
        frontal = undo_rigid(steady, *pose)
        order = _most_at_rest(frontal, pose[0], found)
        rest = frontal[order[: max(round(REST * len(order)), 1)]].mean(0)
        gone = max_pool1d((~found).float()[None, None], 2 * FADE + 1, 1, FADE)[0, 0]
        presence = low_pass(1 - gone[:, None], FADE / 2)[:, 0] * found
        widest = int(lip_aperture(frontal).masked_fill(~found, -1).argmax())
        shown = tuple(dict.fromkeys((int(order[0]), widest, int(order[len(order) // 2]))))
        return cls(steady, presence, frontal, pose, rest, shown)

    def speaking(self, motion: MotionTrack, basis: FaceBasis) -> Tensor:
        """Return the landmarks (F, 478, 3) in pixels of the film's faces with the mouths of a motion track."""
        still = MotionTrack.of_expression(motion.expression, motion.fps)
        moved = move_landmarks(self.rest, torch.zeros(len(ARKIT_NAMES)), still, basis)
        return apply_rigid(self.frontal.lerp(moved, mouth_share(basis)[:, None]), *self.pose)

    def resting(self, basis: FaceBasis) -> Tensor:
        """Return the landmarks (F, 478, 3) in pixels of the film's faces with their mouths at rest."""
        return apply_rigid(self.frontal.lerp(self.rest, mouth_share(basis)[:, None]), *self.pose)


def mouth_share(basis: FaceBasis) -> Tensor:
    """Return how far each landmark belongs to the mouth and the jaw, (478,) in 0..1: below the eyes, what they move."""
    moves = basis.expression[list(MOUTH_SHAPES)].norm(dim=-1).amax(0)
    below = basis.mean[:, 1] - basis.mean[list(EYES), 1].mean()  # in eye distances
    return smoothstep(moves / (REACH * moves.max())) * smoothstep((below - CHEEKS[0]) / (CHEEKS[1] - CHEEKS[0]))


def followed(film: Film, provider: FaceProvider, progress: ProgressCallback) -> tuple[Tensor, Tensor]:
    """Return landmarks (F, 478, 3) of one face in the pixels of each frame, and where there is one, (F,).

    It is the largest of the first frame that has one, and from then on the one that overlaps it most; after a cut, the
    largest again. Landmarks of frames without a face are those of a frame that has one. Raises FaceError if none has.
    """
    seen: list[Face | None] = []
    last: Face | None = None
    for frame in film:
        faces = sorted(provider(frame), key=area, reverse=True)
        chosen = faces[0] if faces else None
        if faces and last is not None:
            shares = [overlap(face, last) for face in faces]
            if max(shares) > SAME_FACE:
                chosen = faces[shares.index(max(shares))]
        seen.append(chosen)
        last = chosen or last
        progress(Progress("find faces", len(seen), len(seen)))
    known = next((face for face in seen if face is not None), None)
    if known is None:
        raise FaceError("No face was found in the film: choose one that shows a face.")
    landmarks = []
    for face in seen:
        known = face or known
        landmarks.append(known.landmarks)
    return torch.stack(landmarks), torch.tensor([face is not None for face in seen])


def shots(landmarks: Tensor, found: Tensor) -> list[slice]:
    """Return the runs of frames with a face that does not jump, as at a cut. See ``followed``."""
    jump = (landmarks[1:] - landmarks[:-1])[..., :2].norm(dim=-1).mean(1) > JUMP * eye_distance(landmarks[:-1])
    begins = [0, *((jump | (found[1:] != found[:-1])).nonzero()[:, 0] + 1).tolist(), len(found)]
    return [slice(start, stop) for start, stop in pairwise(begins) if found[start]]


def _most_at_rest(frontal: Tensor, facing: Tensor, found: Tensor) -> Tensor:
    """Return the frames with a face, (K,), those first whose lips are closed, of the usual width and seen from the
    front. frontal: (F, 478, 3). facing: (F, 3, 3)."""
    width = (frontal[:, CORNERS[1]] - frontal[:, CORNERS[0]]).norm(dim=-1)
    unusual = (width - width[found].median()).abs()
    turned = rotation_angles(facing)[:, 1].abs()
    score = lip_aperture(frontal) + UNUSUAL * unusual + TURNED * turned
    return score.masked_fill(~found, torch.inf).argsort()[: int(found.sum())]


def _frames(film: Film, numbers: tuple[int, ...]) -> list[Tensor]:
    """Return some frames (3, H, W) of a film, in the order of their numbers as given."""
    read = enumerate(islice(film, max(numbers) + 1))
    pictures = {number: frame for number, frame in read if number in numbers}
    return [pictures[number] for number in numbers]


def _as_long(sound: Audio, seconds: float) -> Audio:
    """Return the sound cut, or followed by silence, to a length."""
    samples = round(seconds * sound.sample_rate)
    if sound.samples > samples + sound.sample_rate / 25:
        log.warning(
            "The speech lasts %.2f s and the film %.2f s: its end is left out.",
            sound.samples / sound.sample_rate,
            seconds,
        )
    return Audio(pad(sound.waveform[:, :samples], (0, max(samples - sound.samples, 0))), sound.sample_rate)


@torch.no_grad()
def _dubbed(
    pipeline: WindowPipeline,
    film: Film,
    faces: Faces,
    identity: Identity,
    speech: Speech,
    motion: MotionTrack,
    settings: SamplingSettings,
    progress: ProgressCallback,
) -> Iterator[Tensor]:
    config, basis, device = pipeline.config, pipeline.basis, pipeline.device
    identity = identity.to(device)
    speaking, resting = faces.speaking(motion, basis), faces.resting(basis)
    noise = pipeline.noise(settings.seed)
    tick = Counter(progress, len(motion))
    for number, frame in enumerate(film):
        if faces.presence[number] > 0:
            here, own = slice(number, number + 1), faces.landmarks[number]
            crop = aligned_crop(own, image_size(frame), config.crop_size)
            own, rest, target = (
                to_crop(points, crop).to(device) for points in (own, resting[number], speaking[number])
            )
            window = mouth_window(rest, config.crop_size)
            expression, tongue = motion.expression[here].to(device), tongue_of(motion[here]).to(device)
            structure = window_structure(
                identity.close_ups[:1], window, target[None], expression, tongue, basis, config
            )
            features = speech.features[here].to(device)
            drawn = pipeline.draw(WindowInputs(identity.tokens, structure, features, noise), settings)
            flow = flow_between(own, target[None], config.crop_size, config.structure.flow_size)
            picture = frame.to(device)
            size = drawn.shape[-1]
            film_mouth = close_up(picture, crop, own, size)
            moved = warp_window(film_mouth.picture, film_mouth.covers, flow, window, size)
            new = _new_mouth(structure, drawn, moved, window.to_pixels(target[None], config.crop_size, size))
            nothing = drawn.new_zeros(1, 3, 8, 8)
            pasted = Compositor(picture, crop)(flow, nothing, nothing[:, :1], drawn=Drawn(window, *new))
            frame = frame.lerp(pasted[0].cpu(), float(faces.presence[number]))
        tick(frame)
        yield frame[None]


def _new_mouth(structure: Structure, drawn: Tensor, moved: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what is shown in the windows: residual, picture and its weight, see ``Drawn``.

    drawn: (F, 3, W, W) the network's pictures. moved: (F, 3, W, W) what the film shows there, its lips moved by the
    warp. landmarks: (F, 478, 3) in pixels of the windows.
    """
    size = drawn.shape[-1]
    share = structure.mask * drawn_share(mouth_opening(landmarks, size))
    picture = structure.warped.lerp(drawn, torch.maximum(share, structure.borrowed))
    outer = fill(enlarged(landmarks[:, LIPS_OUTER, :2], AROUND), size)[:, None]
    weight = blurred(outer, SOFT * size)
    # The light of the film on the skin around the lips.
    lips = fill(enlarged(landmarks[:, LIPS_OUTER, :2], LIPS), size)[:, None]
    rim = weight * (1 - lips) + 1e-6
    light = ((moved - picture) * rim).sum((2, 3), keepdim=True) / rim.sum((2, 3), keepdim=True)
    return torch.zeros_like(picture), picture + light, weight
