import math

import torch

from portraittalk.metrics.lips import best_lag, correlation


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


def test_best_lag_is_positive_where_the_second_curve_comes_later():
    values = curve()
    lag, found = best_lag(values[3:], values[:-3])
    assert lag == 3 and math.isclose(found, 1, abs_tol=1e-6)
