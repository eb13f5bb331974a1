import math

import pytest
import torch

from portraittalk.face.align import eye_distance
from portraittalk.face.topology import LIPS_INNER, LIPS_OUTER
from portraittalk.metrics.lips import best_lag, closure, correlation, lip_distance
from portraittalk.speech.phones import Phone
from portraittalk.types import Face


def curve(frames=60):
    return torch.rand(frames, generator=torch.Generator().manual_seed(3))


def test_correlation_of_a_curve_with_itself_its_negative_and_a_constant():
    values = curve()
    assert math.isclose(correlation(values, 3 * values + 1), 1, abs_tol=1e-6)
    assert math.isclose(correlation(values, -values), -1, abs_tol=1e-6)
    assert math.isnan(correlation(values, torch.ones(60)))


def test_frames_without_a_face_do_not_count():
    values = curve()
    holed = values.clone()
    holed[10:20] = math.nan
    assert math.isclose(correlation(values, holed), 1, abs_tol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_a_lag_is_found_in_clips_shorter_than_its_reach(count):
    values = torch.arange(count) ** 2.0
    lag, found = best_lag(values, values)
    assert lag == 0 and (found == pytest.approx(1) if count > 1 else math.isnan(found))


def test_best_lag_is_positive_where_the_second_curve_comes_later():
    values = curve()
    lag, found = best_lag(values[3:], values[:-3])
    assert lag == 3 and math.isclose(found, 1, abs_tol=1e-6)


def test_closure_counts_the_bilabials_on_which_the_lips_meet():
    aperture = torch.full((50,), 0.1)
    aperture[10] = 0.01
    phones = [Phone(0.4, 0.44, "P"), Phone(0.8, 0.88, "AA"), Phone(1.2, 1.28, "M")]
    assert closure(aperture, phones, 25.0) == 0.5
    assert closure(aperture, phones[1:2], 25.0) is None
    assert closure(torch.full((50,), math.nan), phones, 25.0) is None


def test_lip_distance_is_free_of_pose_and_in_eye_distances(portrait_face):
    face = portrait_face
    moved = Face(1.5 * face.landmarks + 20)
    assert lip_distance([face], [moved]) < 1e-4
    lower = face.landmarks.clone()
    lower[[*LIPS_INNER, *LIPS_OUTER], 1] += 0.1 * eye_distance(face.landmarks)
    assert math.isclose(lip_distance([face, face], [Face(lower), None]), 0.1, rel_tol=0.1)
    assert lip_distance([None], [face]) is None
