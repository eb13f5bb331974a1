"""The order in which a picture is searched, and which of the finds count."""

import pytest
import torch

from portraittalk.face.manual import face_in_box
from portraittalk.face.search import search_faces
from portraittalk.types import Face

SIZE = (300, 400)  # height, width


def detector_of(mark, found):
    """A detector that finds faces where the red channel of the whole picture is brightest in the left upper quarter."""

    def detect(part):
        height, width = part.shape[-2:]
        y, x = divmod(int(part[0].argmax()), width)
        return [found(x, y)] if part[0].max() >= mark and x < width / 2 and y < height / 2 else []

    return detect


def small_face(x, y, score=0.99):
    face = face_in_box((x - 20, y - 20, x + 20, y + 20))
    return Face(face.landmarks, None, score)


@pytest.mark.parametrize("at", [(90, 50), (300, 60), (310, 250), (80, 240)])
def test_a_face_in_a_turned_picture_comes_back_in_pixels_of_the_original(at):
    """Each corner is the left upper one in one of the four quarter turns."""
    picture = torch.zeros(3, *SIZE)
    picture[0, at[1], at[0]] = 1
    (face,) = search_faces(picture, detector_of(1, small_face), 4)
    x0, y0, x1, y1 = face.box
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((at[0] + 0.5, at[1] + 0.5), abs=1)
    right, left = face.landmarks[33, :2], face.landmarks[263, :2]
    down = face.landmarks[152, :2] - (right + left) / 2
    across = left - right
    assert across[0] * down[1] - across[1] * down[0] > 0, "turned, not mirrored"


def test_a_picture_with_an_upright_face_is_searched_as_it_is_only():
    calls = []

    def detect(part):
        calls.append(part.shape[-2:])
        return [small_face(200, 150)] if len(calls) == 1 else []

    picture = torch.zeros(3, *SIZE)
    large = face_in_box((100, 50, 300, 250))
    assert len(search_faces(picture, lambda part: [large], 4)) == 1
    assert len(search_faces(picture, detect, 1)) == 1
    assert len(calls) == 1


def test_a_doubtful_face_counts_only_without_a_sure_one():
    large = Face(face_in_box((50, 20, 350, 280)).landmarks, None, 0.6)
    sure = small_face(60, 60)

    def detect(part):
        return [large] if part.shape[-2:] == SIZE else []

    assert [face.score for face in search_faces(torch.zeros(3, *SIZE), detect, 4)] == [0.6]

    def with_a_sure_one(part):
        return detect(part) + ([sure] if part.shape[-2:] == (200, 200) else [])

    found = search_faces(torch.zeros(3, *SIZE), with_a_sure_one, 4)
    assert found and all(face.score == 0.99 for face in found)


def test_a_doubtful_face_that_is_turned_does_not_count():
    """Text on its side has looked like a face."""
    picture = torch.zeros(3, *SIZE)
    picture[0, 60, 300] = 1
    assert search_faces(picture, detector_of(1, lambda x, y: small_face(x, y, 0.85)), 4) == []
    assert search_faces(picture, detector_of(1, lambda x, y: small_face(x, y, 0.95)), 4) != []
