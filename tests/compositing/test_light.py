from pathlib import Path

import pytest
import torch

import portraittalk
from portraittalk.compositing.light import EYES, dimness, face_light, light_on, skin_colour, veil, without_glare
from portraittalk.compositing.mouth_colours import teeth_colour
from portraittalk.face.align import aligned_crop, extract_crop, to_crop
from portraittalk.face.manual import face_in_box
from portraittalk.face.providers import provider_named
from portraittalk.media.image import read_image

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo" / "portrait.jpg"
SIZE = 256
WARM = torch.tensor([1.0, 0.75, 0.4])[:, None, None]


@pytest.fixture(scope="module")
def demo():
    """The demo portrait's crop (3, S, S), and its landmarks there."""
    image = read_image(DEMO).pixels
    landmarks = provider_named("own")(image)[0].landmarks
    crop = aligned_crop(landmarks, tuple(image.shape[-2:]), SIZE)
    return extract_crop(image, crop), to_crop(landmarks, crop)


def covered_eyes(picture, landmarks):
    """The picture with dark bars over the eyes."""
    picture = picture.clone()
    for outline, _ in EYES:
        low, high = landmarks[list(outline), :2].amin(0).int() - 3, landmarks[list(outline), :2].amax(0).int() + 3
        picture[:, low[1] : high[1], low[0] : high[0]] = 0.05
    return picture


def test_skin_colour_is_that_of_the_picture():
    points = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks[None]
    colour = torch.tensor([0.2, 0.5, 0.7])[:, None, None]
    found = skin_colour(colour.expand(1, 3, 256, 256), points)
    torch.testing.assert_close(found[0], colour, atol=1e-4, rtol=0)


def test_daylight_is_white(demo):
    torch.testing.assert_close(face_light(*demo).colour, torch.ones(3, 1, 1))


def test_coloured_light_is_seen_and_colours_the_teeth(demo):
    picture, landmarks = demo
    plain, warm = (face_light(p, landmarks) for p in (picture, picture * WARM))
    blue = float(warm.colour[2] / warm.colour[1])
    assert 0.5 < blue < 0.9  # the light's is 0.53; differences such as people have are not taken for light
    white_teeth, warm_teeth = (teeth_colour(light).flatten() for light in (plain, warm))
    change = (warm_teeth[2] / warm_teeth[1]) / (white_teeth[2] / white_teeth[1])
    assert change < blue + 0.01


def test_dimmed_pictures_have_dimmer_teeth(demo):
    picture, landmarks = demo
    bright, dim = (teeth_colour(face_light(p, landmarks))[1] for p in (picture, picture * 0.6))
    assert 0.55 < float(dim / bright) < 0.75


def test_in_hardly_any_light_teeth_are_as_dark_as_all_the_rest(demo):
    picture, landmarks = demo
    half, tenth = (face_light(p, landmarks) for p in (picture * 0.2, picture * 0.1))
    assert float(dimness(face_light(picture, landmarks))) == 1
    assert float(dimness(tenth)) < float(dimness(half)) < 1
    assert float((teeth_colour(tenth) / teeth_colour(half))[1]) == pytest.approx(0.5, abs=0.05)
    dark = light_on(torch.tensor([0.25, 0.16, 0.12])[:, None, None], torch.full((3,), 0.4))
    assert float(dimness(dark)) == 1  # dark skin in usual light


def test_a_glare_over_a_faded_picture_is_seen_and_its_light_is_that_below(demo):
    picture, landmarks = demo
    clear, faded = (face_light(p, landmarks) for p in (picture, 0.5 * picture + 0.5))
    assert float(clear.glare) == 0
    assert 0.3 < float(faded.glare) < 0.5
    assert float(faded.black) < 0.25  # as grey as films, but not more
    torch.testing.assert_close(without_glare(0.5 * clear.skin + 0.5, faded.glare), faded.skin, atol=0.01, rtol=0)


def test_without_whites_of_the_eyes_the_light_is_taken_for_white(demo):
    picture, landmarks = demo
    warm = face_light(covered_eyes(picture * WARM, landmarks), landmarks)
    torch.testing.assert_close(warm.colour, torch.ones(3, 1, 1))
    torch.testing.assert_close(warm.eye_white, light_on(warm.skin).eye_white)


def test_eyes_without_a_pixel_show_no_white():
    picture = torch.full((3, SIZE, SIZE), 0.5)
    light = face_light(picture, torch.zeros(478, 3))
    torch.testing.assert_close(light.eye_white, light_on(light.skin).eye_white)


def test_teeth_are_brighter_than_dark_skin():
    dark = light_on(torch.tensor([0.35, 0.22, 0.16])[:, None, None])
    assert (teeth_colour(dark) > 1.1 * dark.skin).all()


def test_a_veil_over_the_picture_is_seen_in_the_eyes(demo):
    picture, landmarks = demo
    clear, hazy = (float(veil(face_light(p, landmarks))) for p in (picture, 0.85 * picture + 0.15))
    assert clear < 0.6
    assert hazy > clear + 0.3


def test_closed_eyes_leave_hair_to_tell_black(demo):
    picture, landmarks = demo
    closed = landmarks.clone()
    for outline, _ in EYES:
        closed[list(outline), 1] = landmarks[list(outline), 1].mean()
    assert float(veil(face_light(picture, closed))) < 0.6


def test_a_mouth_alone_is_taken_for_a_film():
    assert float(veil(light_on(torch.full((3, 1, 1), 0.5)))) == 1
