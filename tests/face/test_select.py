import logging
import sys

import pytest
import torch

from portraittalk.errors import FaceError
from portraittalk.face.manual import face_in_box
from portraittalk.face.select import FaceChoice, choose_face, find_face, find_people, other_people

SIZE = (480, 640)
SMALL = face_in_box((20, 30, 120, 140))
LARGE = face_in_box((150, 40, 400, 330))
MIDDLE = face_in_box((430, 60, 600, 280))
FACES = [SMALL, LARGE, MIDDLE]


def test_the_largest_is_taken_and_named(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_face(FACES, FaceChoice(), SIZE) is LARGE
    assert "Three faces found: using the largest, from (150, 40) to (400, 330)" in caplog.text


def test_one_face_needs_no_words(caplog):
    assert choose_face([SMALL], FaceChoice(), SIZE) is SMALL
    assert not caplog.text


def test_by_index_largest_first(caplog):
    assert [choose_face(FACES, FaceChoice(index=n), SIZE) for n in range(3)] == [LARGE, MIDDLE, SMALL]
    assert not caplog.text


@pytest.mark.parametrize("index", [3, -1])
def test_an_index_that_is_not_there(index):
    with pytest.raises(FaceError, match=rf"no face {index} .*there are three, 0 to 2"):
        choose_face(FACES, FaceChoice(index=index), SIZE)
    with pytest.raises(FaceError, match=r"there is one face, 0"):
        choose_face([LARGE], FaceChoice(index=index), SIZE)


def test_by_box_the_best_overlap():
    assert choose_face(FACES, FaceChoice(box=(410, 50, 640, 300)), SIZE) is MIDDLE
    assert choose_face(FACES, FaceChoice(box=(100, 20, 390, 300)), SIZE) is LARGE
    with pytest.raises(FaceError, match=r"No face lies in the box.*\(20, 30\) to \(120, 140\)"):
        choose_face(FACES, FaceChoice(box=(10, 400, 60, 470)), SIZE)


def test_by_mask_the_best_overlap():
    mask = torch.zeros(SIZE)
    mask[40:130, 10:110] = 1
    assert choose_face(FACES, FaceChoice(mask=mask), SIZE) is SMALL
    with pytest.raises(FaceError, match="mask is empty"):
        choose_face(FACES, FaceChoice(mask=torch.zeros(SIZE)), SIZE)
    with pytest.raises(FaceError, match=r"mask is 64x64 pixels, but the picture is 640x480"):
        choose_face(FACES, FaceChoice(mask=torch.ones(64, 64)), SIZE)


def test_no_face_and_a_face_that_is_too_small():
    with pytest.raises(FaceError, match="No face was found in the picture: "):
        choose_face([], FaceChoice(), SIZE)
    with pytest.raises(FaceError, match=r"too small: its eyes are \d+ pixels apart, and at least 24"):
        choose_face([face_in_box((10, 10, 40, 45))], FaceChoice(), SIZE)


@pytest.mark.parametrize("box", [(10, 10, 10, 50), (float("nan"), 0, 50, 50), (700, 10, 800, 90), (-90, -90, -10, -10)])
def test_a_box_without_area(box):
    with pytest.raises(FaceError, match="The face box"):
        find_face(torch.zeros(3, *SIZE), FaceChoice(box=box), lambda image: [])


def test_a_box_finds_a_face_that_is_missed_in_the_whole_picture(portrait, provider, shrink):
    picture = torch.full((3, 768, 1200), 0.45)
    picture[:, :, :768] = portrait
    picture[:, 400:540, 950:1090] = shrink(portrait, 140)
    assert len(provider(picture)) == 1
    face = find_face(picture, FaceChoice(box=(995, 423, 1042, 477)), provider)
    straight = provider(portrait)[0].landmarks[:, :2] * 140 / 768 + torch.tensor([950.0, 400.0])
    assert (face.landmarks[:, :2] - straight).norm(dim=1).mean() < 2


def test_a_box_on_a_drawing_gets_an_average_face(provider, caplog):
    face = find_face(torch.full((3, 300, 300), 0.8), FaceChoice(box=(60, 60, 240, 260)), provider)
    assert face.box == pytest.approx((60, 60, 240, 260), abs=0.1)
    assert "an average face was placed in it" in caplog.text


def test_pictures_need_no_package_that_finds_faces(portrait, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    face = find_face(portrait, FaceChoice(box=(258, 140, 488, 406)))
    assert face.box == pytest.approx(find_face(portrait).box) and "average face" not in caplog.text


def test_other_people_are_all_but_the_chosen_and_what_is_found_within():
    within = face_in_box((200, 100, 300, 200))
    others = other_people([*FACES, within], LARGE)
    assert [any(one is face for one in others) for face in (*FACES, within)] == [True, False, True, False]


@pytest.mark.parametrize("choice", [FaceChoice(index=1), FaceChoice(box=(430, 60, 600, 280))])
def test_people_are_the_chosen_one_and_the_others(choice):
    chosen, others = find_people(torch.zeros(3, *SIZE), choice, lambda image: FACES)
    assert chosen is MIDDLE and [one is face for one, face in zip(others, (SMALL, LARGE), strict=True)] == [True, True]
