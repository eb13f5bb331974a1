"""``converse``: several people of one picture, each with a speech of their own, in one video with mixed sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..checks import check_type
from ..errors import FaceError, SettingsError
from ..face.align import eye_distance
from ..face.detect import FaceProvider
from ..face.matte import person_matte
from ..face.mesh import MeshProvider
from ..face.search import area, overlap
from ..face.select import FaceChoice, choose_face
from ..media.audio import Audio, check_audio, read_audio
from ..media.image import read_image
from ..media.resample import resample
from ..motion.eyes import BLINKS_PER_MINUTE
from ..motion.listening import Other, listen
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..sampling.settings import check_strengths
from ..speech.prosody import phrases_of, spoken_loudness
from ..types import Face, SamplingSettings, Speech, Style, image_size
from .load import AnyPipeline
from .talk import Picture, TalkingFrames, check_inputs, checked_model

SPOKEN = 0.25  # loudness from which somebody speaks
TURN_SECONDS = 0.3  # of silence between two speakers
SAME_FACE = 0.3  # IoU of two boxes above which they are one face

Phrases = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Speaker:
    """One person of a conversation. audio: what this person says, from the beginning of the video, silence included.

    face: which one of the picture. prompt, negative_prompt: of this person.
    """

    audio: Audio | Path | str
    face: FaceChoice
    prompt: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True)
class Conversation:
    """The frames of a conversation: chunks (n, 3, H, W) in 0..1 on the CPU, computed lazily; they can be iterated over
    once. people: the encoded inputs of each speaker. audio: all voices together."""

    chunks: Iterator[Tensor]
    people: tuple[TalkingFrames, ...]
    audio: Audio

    @property
    def fps(self) -> float:
        return self.people[0].fps

    def __iter__(self) -> Iterator[Tensor]:
        return self.chunks

    def __len__(self) -> int:
        return len(self.people[0])


def converse(
    model: AnyPipeline | str,
    picture: Picture,
    speakers: Sequence[Speaker],
    settings: SamplingSettings | None = None,
    *,
    fps: float = 25.0,
    provider: FaceProvider | None = None,
    head_motion: float = 1.0,
    expression_strength: float = 1.0,
    liveliness: float = 1.0,
    blinks_per_minute: float = BLINKS_PER_MINUTE,
    progress: ProgressCallback = ignore_progress,
) -> Conversation:
    """Make several people of one picture talk to each other.

    Whoever is not speaking listens: blinks, looks at the speaker and nods now and then. picture: a file, or a tensor
    (3, H, W) in 0..1. The video is as long as the longest audio. The other parameters are those of ``talk``; seeds are
    counted up from ``settings.seed``, one per person. A look applies to the whole picture and is the first speaker's.

    Raises a PortraitTalkError with a one-sentence message for invalid inputs, such as two speakers with one face.
    """
    pipeline, settings = checked_model(model, settings, fps)
    check_strengths(head_motion, expression_strength, liveliness, blinks_per_minute)
    check_type("The speakers", speakers, Sequence, "a list of Speaker", SettingsError)
    if not speakers:
        raise SettingsError("A conversation needs at least one speaker.")
    for speaker in speakers:
        check_type("A speaker", speaker, Speaker, "a Speaker", SettingsError)
        check_type("The prompt", speaker.prompt, str, "text", SettingsError)
        check_type("The negative prompt", speaker.negative_prompt, str, "text", SettingsError)
        check_inputs(pipeline.config, speaker.prompt, speaker.negative_prompt, False)
    image = picture if isinstance(picture, Tensor) else read_image(picture).flattened()
    voices = _same_length([_read(speaker.audio) for speaker in speakers])
    found = (provider or MeshProvider())(image)
    faces = _different([choose_face(found, speaker.face, image_size(image)) for speaker in speakers])
    identities = [
        pipeline.encode_identity([image], _as_choice(face, found), faces=[found], progress=progress) for face in faces
    ]
    speeches = [pipeline.encode_speech(voice, fps, progress) for voice in voices]
    seeds = [(settings.seed + number) % 2**64 for number in range(len(speakers))]
    styles = [
        Style() if pipeline.makes_motion else pipeline.encode_style(speaker.prompt, speaker.negative_prompt)
        for speaker in speakers
    ]
    styles = [replace(style, look=styles[0].look) for style in styles]  # they share one picture
    tracks: list[MotionTrack | None] = [None] * len(speakers)
    if not pipeline.makes_motion:
        made = [
            pipeline.make_motion(
                speech, seed, head_motion, expression_strength, progress,
                liveliness=liveliness, blinks_per_minute=blinks_per_minute,
                style=style, text_scale=settings.scales.text,
            )
            for style, speech, seed in zip(styles, speeches, seeds, strict=True)
        ]  # fmt: skip
        phrases = [_phrases(speech) for speech in speeches]
        tracks = [
            listen(track, phrases[number], _others(number, faces, phrases), seeds[number], liveliness * head_motion)
            for number, track in enumerate(made)
        ]
    # The runs advance together, so that one of them reports for all.
    reports = [progress, *[ignore_progress] * (len(speakers) - 1)]
    people = tuple(
        TalkingFrames(
            pipeline.animate(identity, speech, style, track, settings, "full", report), identity, speech, style, track
        )
        for identity, speech, style, track, report in zip(identities, speeches, styles, tracks, reports, strict=True)
    )
    pictures = [
        pipeline.shown_portrait(person.identity, person.style, settings.scales.text).portrait for person in people
    ]
    shares = _shares(image, faces)
    return Conversation(merged([iter(person) for person in people], pictures, shares), people, _mixed(voices))


def merged(
    streams: Sequence[Iterator[Tensor]], pictures: Sequence[Tensor], shares: Sequence[Tensor]
) -> Iterator[Tensor]:
    """Yield the frames of several runs on one picture as one, in chunks (n, 3, H, W); all streams have equal chunks.

    shares: (1, H, W) in 0..1, how far each pixel of the picture shows the person of a run, who alone changes it as far.
    A run leaves all pixels but those about its person as they are in its picture (3, H, W), so the others that it
    changed are its person's as well; where two changed one pixel, the larger change counts.
    """
    for chunks in zip(*streams, strict=True):
        frames = chunks[0].clone()
        change = (chunks[0] - pictures[0].to(chunks[0])).abs().amax(1, keepdim=True)
        for chunk, picture in zip(chunks[1:], pictures[1:], strict=True):
            more = (chunk - picture.to(chunk)).abs().amax(1, keepdim=True)
            frames = torch.where(more > change, chunk, frames)
            change = torch.maximum(change, more)
        yield frames + sum(share.to(chunk) * (chunk - frames) for chunk, share in zip(chunks, shares, strict=True))


def in_turns(speeches: Sequence[Audio], pause: float = TURN_SECONDS) -> list[Audio]:
    """Return speeches that follow each other: each with silence before it until the one before has ended.

    pause: silence between two speeches in seconds.
    """
    begin, turns = 0.0, []
    for speech in speeches:
        silence = round(begin * speech.sample_rate)
        turns.append(Audio(pad(speech.waveform, (silence, 0)), speech.sample_rate) if silence else speech)
        begin += speech.seconds + pause
    return turns


def faces_from_left(picture: Tensor, count: int, provider: FaceProvider | None = None) -> list[FaceChoice]:
    """Return the ``count`` largest faces of a picture (3, H, W), ordered from left to right, as choices.

    Raises FaceError if there are fewer.
    """
    found = sorted((provider or MeshProvider())(picture), key=area, reverse=True)
    if len(found) < count:
        raise FaceError(
            f"The picture shows {len(found)} faces for {count} speeches: leave out the others, or use another picture."
        )
    middle = [float(face.landmarks[:, 0].mean()) for face in found[:count]]
    return [FaceChoice(index=index) for index in sorted(range(count), key=middle.__getitem__)]


def _read(audio: Audio | Path | str) -> Audio:
    sound = audio if isinstance(audio, Audio) else read_audio(audio)
    check_audio(sound)
    return sound


def _same_length(voices: list[Audio]) -> list[Audio]:
    """Return mono voices with the highest of their sample rates, the shorter ones followed by silence."""
    rate = max(voice.sample_rate for voice in voices)
    waves = [resample(voice.mono()[None], voice.sample_rate, rate) for voice in voices]
    longest = max(wave.shape[1] for wave in waves)
    return [Audio(pad(wave, (0, longest - wave.shape[1])), rate) for wave in waves]


def _mixed(voices: Sequence[Audio]) -> Audio:
    """Return all voices together, as loud as they are unless that would clip."""
    mix = torch.stack([voice.waveform for voice in voices]).sum(0)
    return Audio(mix / mix.abs().amax().clamp_min(1), voices[0].sample_rate)


def _as_choice(face: Face, faces: list[Face]) -> FaceChoice:
    """Return the choice of a face among others of a picture."""
    ordered = sorted(faces, key=area, reverse=True)
    return FaceChoice(index=next(index for index, one in enumerate(ordered) if one is face))


def _shares(picture: Tensor, faces: list[Face]) -> list[Tensor]:
    """Return how far each pixel of a picture (3, H, W) shows each person: (1, H, W) in 0..1, together at most 1."""
    height, width = image_size(picture)
    shares = []
    for face in faces:
        others = [other.landmarks for other in faces if other is not face]
        together = torch.stack(others).to(picture) if others else None
        shares.append(person_matte(picture, face.landmarks, (0, 0, width, height), others=together))
    total = torch.stack(shares).sum(0).clamp_min(1)
    return [share / total for share in shares]


def _different(faces: list[Face]) -> list[Face]:
    for first in range(len(faces)):
        for second in range(first):
            if overlap(faces[first], faces[second]) > SAME_FACE:
                raise FaceError(
                    f"Speakers {second + 1} and {first + 1} have the same face: choose another face for one of them."
                )
    return faces


def _phrases(speech: Speech) -> Phrases:
    """Return (start, end) in seconds of what is said in a speech of a model that reads log-mel features."""
    return phrases_of(spoken_loudness(speech.features) > SPOKEN, speech.fps)


def _others(number: int, faces: list[Face], phrases: list[Phrases]) -> list[Other]:
    """Return the people other than the one of this number, as this one sees them."""
    middles = [face.landmarks[:, :2].mean(0) for face in faces]
    scale = eye_distance(faces[number].landmarks)
    return [
        Other(phrases[other], *((middles[other] - middles[number]) / scale).tolist())
        for other in range(len(faces))
        if other != number
    ]
