"""The face of a film speaks another sound: its mouth moves as asked, and nothing else changes."""

from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.errors import FaceError, MediaError, SettingsError
from portraittalk.face.align import aligned_crop, bounds
from portraittalk.face.topology import EYE_LEFT_UPPER, EYE_RIGHT_UPPER, FACE_OVAL
from portraittalk.media.audio import Audio
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import asked_aperture, lip_aperture
from portraittalk.pipelines.dubbing import FADE, Faces, Pictures, dub, followed, shots
from portraittalk.types import Face, SamplingSettings

FPS, RATE = 25.0, 16000
LENGTH, EMPTY = 12, 11  # frames of the film, and the last one, which shows no face


def moved(face, x):
    return replace(face, landmarks=face.landmarks + face.landmarks.new_tensor((x, 0, 0)))


@pytest.fixture(scope="module")
def film(half_portrait):
    """The portrait moves to the right by a pixel a frame, and is gone at the end."""
    frames = torch.stack([half_portrait.roll(number, 2) for number in range(LENGTH)])
    frames[EMPTY] = 0.5
    return Pictures(frames, FPS)


@pytest.fixture(scope="module")
def provider(film, half_face):
    def found(frame):
        number = int((film.frames - frame).abs().flatten(1).amax(1).argmin())
        return [] if number == EMPTY else [moved(half_face, number)]

    return found


def speech(seconds):
    time = torch.arange(round(seconds * RATE)) / RATE
    return Audio(0.5 * torch.sin(900 * time)[None] * (time > 0.1), RATE)


@pytest.fixture(scope="module")
def dubbed(tiny_window_model, film, provider):
    run = dub(tiny_window_model, film, speech(LENGTH / FPS), provider=provider)
    return run, torch.cat(list(run))


def test_it_is_as_long_as_the_film_and_what_is_not_the_face_stays(dubbed, film, half_face):
    run, frames = dubbed
    assert frames.shape == film.frames.shape and len(run) == LENGTH and run.fps == FPS
    assert frames.min() >= 0 and frames.max() <= 1
    assert torch.equal(frames[EMPTY], film.frames[EMPTY])
    change = (frames - film.frames).abs().amax(1)
    assert change[2].max() > 0.05
    for number in (2, 6):
        landmarks = moved(half_face, number).landmarks
        x0, y0, x1, y1 = bounds(aligned_crop(landmarks, tuple(film.frames.shape[2:]), 64))
        outside = change[number].clone()
        outside[y0:y1, x0:x1] = 0
        assert outside.max() < 1e-5
        upper = int(landmarks[[33, 133, 362, 263], 1].max()) - 4
        assert change[number, :upper].max() < 0.02  # eyes and brows are the film's


def test_the_new_mouth_fades_out_beside_a_frame_without_a_face(dubbed, film):
    change = (dubbed[1] - film.frames).abs().flatten(1).mean(1)
    assert change[EMPTY] == 0 and change[EMPTY - 1] < 0.5 * change[: EMPTY - 2 * FADE].mean()


def test_the_same_seed_gives_the_same_frames(tiny_window_model, dubbed, film, provider):
    again = dub(tiny_window_model, film, speech(LENGTH / FPS), SamplingSettings(seed=0), provider=provider)
    assert torch.equal(next(iter(again)), dubbed[1][:1])


def test_the_film_gets_the_tongue_of_the_speech(tiny_window_model, film, provider, painted_tongues):
    """Mouths are painted only in frames in which the lips open."""
    run = dub(tiny_window_model, film, speech(LENGTH / FPS), provider=provider)
    tongue = torch.linspace(0.1, 0.9, LENGTH)
    run.motion.tongue.copy_(tongue)
    run.motion.expression[:, ARKIT_INDEX["jawOpen"]] = 0.5
    list(run)
    assert torch.equal(torch.cat([painted.raised for painted in painted_tongues]), tongue[:EMPTY])


def test_a_longer_speech_is_cut_and_a_shorter_one_followed_by_silence(tiny_window_model, film, provider, caplog):
    run = dub(tiny_window_model, film, speech(1.5), provider=provider)
    assert run.audio.samples == round(LENGTH / FPS * RATE) and len(run) == LENGTH
    assert "its end is left out" in caplog.text
    caplog.clear()
    run = dub(tiny_window_model, film, speech(0.2), provider=provider)
    assert run.audio.samples == round(LENGTH / FPS * RATE) and len(run) == LENGTH
    assert run.audio.waveform[0, round(0.2 * RATE) :].abs().max() == 0 and not caplog.text


def test_lips_open_as_the_speech_asks_in_the_pose_and_with_the_eyes_of_the_film(dubbed, film, half_face):
    """However wide the mouth of the film is open."""
    run, basis = dubbed[0], load_basis()
    unit = float((half_face.landmarks[263] - half_face.landmarks[33]).norm())
    jaw = 0.6 * torch.linspace(0, 1, LENGTH)[:, None, None] * unit * basis.expression[ARKIT_INDEX["jawOpen"]]
    landmarks = torch.stack([moved(half_face, number).landmarks for number in range(LENGTH)]) + jaw
    faces = Faces.of(landmarks, torch.ones(LENGTH, dtype=torch.bool), basis)
    wide = replace(run.motion, expression=run.motion.expression.clone())
    wide.expression[:, ARKIT_INDEX["jawOpen"]] = 0.5
    for motion in (run.motion, wide):
        speaking = faces.speaking(motion, basis)
        found, asked = lip_aperture(speaking), asked_aperture(motion, basis)
        assert (found - asked).abs().max() < 0.03
        eyes = list(EYE_LEFT_UPPER + EYE_RIGHT_UPPER + FACE_OVAL[:4])
        assert (speaking - faces.landmarks)[:, eyes].abs().max() < 0.02 * unit
    assert lip_aperture(faces.landmarks)[-1] > lip_aperture(faces.landmarks)[0] + 0.1
    assert faces.shown[0] < 3 and faces.shown[1] == LENGTH - 1  # at rest first, then wide open


def test_the_same_face_is_followed_and_after_a_cut_the_largest(half_face):
    large = Face((half_face.landmarks - 60) * 1.5 + 500)
    seen = [[half_face], [large, moved(half_face, 3)], [], [moved(half_face, 5), large], [large]]
    frames = [torch.full((3, 8, 8), number / 10) for number in range(len(seen))]
    landmarks, found = followed(
        Pictures(torch.stack(frames), FPS), lambda frame: seen[round(float(frame[0, 0, 0]) * 10)], lambda progress: None
    )
    assert found.tolist() == [True, True, False, True, True]
    expected = [half_face, moved(half_face, 3), moved(half_face, 3), moved(half_face, 5), large]
    assert all(torch.equal(one, face.landmarks) for one, face in zip(landmarks, expected, strict=True))
    assert shots(landmarks, found) == [slice(0, 2), slice(3, 4), slice(4, 5)]


def test_landmarks_are_steadied_but_not_across_a_cut(half_face):
    noise = torch.randn(10, 478, 3, generator=torch.Generator().manual_seed(0))
    landmarks = half_face.landmarks + noise
    landmarks[5:, :, 0] += 200
    steady = Faces.of(landmarks, torch.ones(10, dtype=torch.bool), load_basis()).landmarks
    away = steady - half_face.landmarks
    away[5:, :, 0] -= 200
    assert away.std() < 0.8 and away.abs().max() < 5


def test_what_cannot_be_dubbed_is_refused(tiny_model, tiny_window_model, film, provider):
    sound = speech(0.3)
    for model, given, found, error, words in (
        (tiny_model, film, provider, SettingsError, "cannot dub a film"),
        (tiny_window_model, film, lambda frame: [], FaceError, "No face was found in the film"),
        (tiny_window_model, film.frames, provider, MediaError, "The film must be"),
        (tiny_window_model, "none.mp4", provider, MediaError, "none.mp4"),
    ):
        with pytest.raises(error, match=words):
            dub(model, given, sound, provider=found)
