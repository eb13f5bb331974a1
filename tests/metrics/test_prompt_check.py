"""The readings behind the check of prompts, and the check itself on the model that ships."""

import dataclasses

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.errors import FaceError
from portraittalk.face.mesh import MeshProvider
from portraittalk.media.audio import read_audio
from portraittalk.metrics.prompt_check import GAZE, PROMPTS, ROLL, check_prompts, prompts_table, read_expression
from portraittalk.pipelines.load import load_model


def test_readings_of_a_turned_head_and_of_irises(portrait_face):
    read = read_expression([portrait_face])
    assert read["jawOpen"] == pytest.approx(float(portrait_face.blendshapes[ARKIT_INDEX["jawOpen"]]))
    angle = torch.tensor(0.2)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
    turned = dataclasses.replace(portrait_face, landmarks=portrait_face.landmarks @ turn.T)
    assert read_expression([turned])[ROLL] - read[ROLL] == pytest.approx(0.2, abs=1e-3)
    points = portrait_face.landmarks.clone()
    points[468:, 0] += 4
    looks = read_expression([dataclasses.replace(portrait_face, landmarks=points)])
    assert looks[GAZE] > read[GAZE] + 0.01 and looks["jawOpen"] == read["jawOpen"]
    with pytest.raises(FaceError):
        read_expression([])


def test_a_smile_moves_and_its_opposite_does_not(half_portrait, repository):
    smile = PROMPTS[0]
    opposite = dataclasses.replace(smile, signs={name: -1 for name in smile.signs})
    audio = read_audio(repository / "portraittalk/assets/demo/speech.wav", duration=0.4)
    provider = MeshProvider()
    results = check_prompts(load_model("mini"), half_portrait, audio, provider, provider, (smile, opposite))
    assert [result.moved for result in results] == [True, False]
    assert "1 of 2 move as asked" in prompts_table(results)
