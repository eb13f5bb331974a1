"""A model that follows drawn poses, AniPortrait's layout: the real classes, tiny and random, from files to a video."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.compositing.draw_control import draw_pose
from portraittalk.errors import MotionError, WeightsError
from portraittalk.face import topology
from portraittalk.media.audio import Audio
from portraittalk.media.reader import read_video
from portraittalk.motion.speech_to_motion import speech_to_motion
from portraittalk.pipelines.load import load_model
from portraittalk.types import SamplingSettings, Style
from portraittalk.weights.public import convert

pytest.importorskip("transformers")

FPS, FRAMES = 25.0, 4
SETTINGS = SamplingSettings(steps=2, window=3, overlap=1, guidance_scale=2.0)  # two windows
QUICK = SamplingSettings(steps=1, window=FRAMES, overlap=1)


@pytest.fixture(scope="module")
def layout(aniportrait_checkpoint):
    return aniportrait_checkpoint[0]


@pytest.fixture(scope="module")
def files(aniportrait_checkpoint):
    return aniportrait_checkpoint[1]


@pytest.fixture(scope="module")
def models(layout, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    convert(layout, files, folder / "aniportrait.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(models):
    return load_model("aniportrait", folders=[models])


@pytest.fixture(scope="module")
def scene(model, small_portrait, small_face):
    """Identity, speech and motion."""
    identity = model.encode_identity([small_portrait], faces=[[small_face]])
    time = torch.arange(int(16000 * FRAMES / FPS)) / 16000
    speech = model.encode_speech(Audio(torch.sin(900 * time)[None], 16000), FPS)
    return identity, speech, speech_to_motion(model.face_motion()[0], speech)


def test_its_files_are_named_where_one_is_missing(layout, files, tmp_path):
    with pytest.raises(WeightsError, match="image_encoder"):
        convert(layout, {k: v for k, v in files.items() if k != "image_encoder"}, tmp_path / "out.safetensors")


def test_the_person_enters_by_a_token_and_by_reference_features(model, scene):
    identity, _, _ = scene
    assert identity.tokens.shape == (1, 768) and len(identity.reference) == 16


def test_poses_person_and_seed_reach_the_frames(model, scene):
    identity, speech, motion = scene

    def frames(identity=identity, motion=motion, settings=QUICK):
        return torch.cat(list(model.animate(identity, speech, Style(), motion, settings, "crop")))

    windows = []
    hook = model.animate_net.structure_encoder.register_forward_pre_hook(lambda *call: windows.append(call))
    first = frames(settings=SETTINGS)
    hook.remove()
    assert len(windows) == 2, "poses are encoded once for each window, not for each step and branch of guidance"
    assert first.shape == (FRAMES, 3, 128, 128) and torch.equal(first, frames(settings=SETTINGS))
    usual, opened = frames(), replace(motion, expression=motion.expression + 0.5)
    for changed in (
        frames(motion=opened),
        frames(identity=replace(identity, tokens=-identity.tokens)),
        frames(settings=replace(QUICK, seed=1)),
    ):
        assert not torch.allclose(usual, changed, atol=1e-4)


def test_what_it_cannot_do_is_said(model, scene):
    identity, speech, _ = scene
    with pytest.raises(MotionError, match="aniportrait"):
        model.animate(identity, speech)


def test_the_command_line_makes_a_video(models, repository, tmp_path):
    demo = repository / "portraittalk" / "assets" / "demo"
    arguments = ("animate", demo / "portrait.jpg", "--audio", demo / "speech.wav", "--models-dir", models)
    asked = ("--model", "aniportrait", "--preview", 0.12, "--max-size", 192, "--prompt", "a smile")
    out = tmp_path / "out.mp4"
    result = CliRunner().invoke(
        cli.app, [str(part) for part in (*arguments, *asked, "--out", out)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert len(list(read_video(out))) == 3


def test_the_drawing_has_aniportraits_colours_where_the_landmarks_are(portrait_face):
    landmarks = portrait_face.landmarks[None]
    low, high = landmarks[0, :, :2].amin(0), landmarks[0, :, :2].amax(0)
    placed = landmarks.clone()
    placed[..., :2] = (landmarks[..., :2] - low) / (high - low).max() * 400 + 50
    drawn = draw_pose(placed, 512, 512)
    assert drawn.dtype == torch.uint8 and drawn.shape == (1, 3, 512, 512)
    colours = {
        61: {(10, 180, 20), (20, 80, 100)},  # the right corner of the mouth
        291: {(20, 10, 180), (80, 100, 20)},
        13: {(120, 100, 200), (150, 120, 100)},  # the middle of the upper lip, inside
        topology.EYE_LEFT_UPPER[4]: {(180, 200, 10)},
        topology.EYE_RIGHT_UPPER[4]: {(10, 200, 180)},
        152: {(10, 200, 10)},  # the chin
    }
    for point, expected in colours.items():
        x, y = placed[0, point, :2].round().long().tolist()
        seen = {tuple(pixel.tolist()) for pixel in drawn[0, :, y - 1 : y + 2, x - 1 : x + 2].flatten(1).T}
        assert seen & expected, point
    assert not drawn[0, :, 50:56, 200:300].any()  # no forehead
