"""One landmarker against another: what is counted, and in which unit."""

from dataclasses import replace

import pytest
import torch

from portraittalk.metrics.landmark_error import compare_landmarkers, summary


def shown(*faces):
    return lambda image: list(faces)


def moved(face, right):
    return replace(face, landmarks=face.landmarks + torch.tensor((right, 0.0, 0.0)))


def test_the_error_is_in_outer_eye_distances(portrait, portrait_face):
    eyes = float((portrait_face.landmarks[33, :2] - portrait_face.landmarks[263, :2]).norm())
    (row,) = compare_landmarkers([("a", portrait)], shown(moved(portrait_face, 0.1 * eyes)), shown(portrait_face))
    assert row.missed == row.extra == 0
    assert row.errors == [pytest.approx((0.1, 0.1, 0.1), abs=1e-3)]


def test_faces_elsewhere_are_missed_and_more(portrait, portrait_face):
    far = moved(portrait_face, 300.0)
    (row,) = compare_landmarkers([("a", portrait)], shown(far), shown(portrait_face))
    assert (row.missed, row.extra, row.errors) == (1, 1, [])
    assert "a: 1 missed, 1 extra" in summary([row])


def test_of_two_finds_of_one_face_one_is_too_many(portrait, portrait_face):
    twice = shown(moved(portrait_face, 20.0), portrait_face)
    (row,) = compare_landmarkers([("a", portrait)], twice, shown(portrait_face))
    assert (row.missed, row.extra, row.errors) == (0, 1, [(0.0, 0.0, 0.0)])


def test_the_summary_names_what_went_wrong_alone(portrait, portrait_face):
    pictures = [("good", portrait), ("bad", portrait)]
    rows = compare_landmarkers(pictures[:1], shown(portrait_face), shown(portrait_face))
    rows += compare_landmarkers(pictures[1:], shown(moved(portrait_face, 30.0)), shown(portrait_face))
    text = summary(rows)
    assert "2 pictures, 2 faces found by both, 0 missed" in text and "bad:" in text and "good:" not in text
