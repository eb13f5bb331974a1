"""The painted inside of a mouth: teeth where anatomy puts them, in the portrait's light."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

import portraittalk
from portraittalk.compositing.light import light_on
from portraittalk.compositing.teeth import CHIN, LOWER_SEEN, SHIPPED, Dentition, load_dentition, mouth_interior
from portraittalk.config import SMALL
from portraittalk.face.align import aligned_crop, eye_distance, to_crop
from portraittalk.face.manual import face_in_box
from portraittalk.face.topology import LIPS_INNER_LOWER, LIPS_OUTER_LOWER
from portraittalk.media.image import read_image
from portraittalk.models.face_basis import load_basis
from portraittalk.training.animate.driven_portraits import set_lips
from portraittalk.training.animate.teeth import random_mouth, read_dentition, save_dentition

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo" / "portrait.jpg"
SIZE = SMALL.crop_size
BASIS = load_basis()
LIGHT, DARK = torch.tensor([0.85, 0.65, 0.55]), torch.tensor([0.35, 0.22, 0.16])
CUBE = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
FACES = (
    (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4),
    (1, 5, 7), (1, 7, 3),
)  # fmt: skip


@pytest.fixture(scope="module")
def dentition(tmp_path_factory) -> Dentition:
    """Boxes for teeth, gums and eyes in ICT-FaceKit's arrays: cm, up and towards the camera."""
    boxes = [  # material, centre, half sizes
        ("M_ScleraLeft", (-3.2, 3, 0), (1, 1, 1)),
        ("M_ScleraRight", (3.2, 3, 0), (1, 1, 1)),
        *(("M_Teeth", (x, y, 1), (0.4, 0.4, 0.3)) for x in (-0.45, 0.45) for y in (-3.0, -4.0)),
        ("M_GumsTongue", (0, -2.4, 0.8), (1, 0.3, 0.3)),
        ("M_GumsTongue", (0, -4.6, 0.8), (1, 0.3, 0.3)),
    ]
    vertices = np.concatenate([CUBE * np.array(half, np.float32) + np.array(centre) for _, centre, half in boxes])
    triangles = np.concatenate([np.array(FACES) + 8 * k for k in range(len(boxes))])
    materials = np.array([name for name, _, _ in boxes for _ in FACES])
    path = tmp_path_factory.mktemp("ict") / "face.npz"
    np.savez(path, V=vertices.astype(np.float32), F=np.stack((triangles, triangles), -1).astype(np.int32), M=materials)
    return read_dentition(path)


@pytest.fixture(scope="module")
def rest():
    image = read_image(DEMO).pixels
    face = face_in_box((230.0, 170.0, 530.0, 560.0))
    crop = aligned_crop(face.landmarks, tuple(image.shape[-2:]), SIZE)
    return set_lips(to_crop(face.landmarks, crop)[None], torch.zeros(1), BASIS)[0]


@pytest.fixture(scope="module")
def opened(rest):
    """(2, 478, 3): parted lips, then the same with the jaw 6 pixels lower and the lips where they were."""
    wide = set_lips(rest[None], torch.tensor([0.3]), BASIS)[0]
    dropped = wide.clone()
    dropped[list(CHIN), 1] += 6
    return torch.stack((wide, dropped))


def painted(dentition, rest, opened, skin=LIGHT, seed=0):
    look = random_mouth(Generator().manual_seed(seed))
    return mouth_interior(dentition, rest, opened, light_on(skin[:, None, None]), SIZE, BASIS.mean, look)


@pytest.mark.parametrize("row", ["upper", "lower"])
def test_teeth_are_painted_as_far_as_they_are_asked_for(dentition, rest, opened, row):
    def shown(teeth: Dentition, share: float) -> Tensor:
        share_of_row = {f"{row}_share": share}
        return mouth_interior(teeth, rest, opened, light_on(LIGHT[:, None, None]), SIZE, BASIS.mean, **share_of_row)

    whole, half, none = (shown(dentition, share) for share in (1.0, 0.5, 0.0))
    bare = replace(dentition, **{row: torch.zeros_like(getattr(dentition, row))})
    assert torch.equal(none, shown(bare, 1.0))
    assert (whole - none).abs().max() > 0.2
    between = (half - (whole + none) / 2).abs()  # where upper teeth cover lower ones, the shares do not add up
    assert between.amax(1)[whole.sub(none).abs().amax(1) > 0.2].median() < 1e-5


def whiteness(picture, rest, half):
    """How white each row is in the middle of the mouth, above or below its middle."""
    x, y = rest[[13, 14], :2].mean(0).int().tolist()
    rows = slice(y - 20, y) if half == "upper" else slice(y, y + 30)
    return picture[:, 1, rows, x - 6 : x + 6].mean(-1)  # green: teeth are bright there, what is around them is not


def centre(rows):
    bright = (rows - rows.median()).clamp_min(0)
    return (bright * torch.arange(len(rows))).sum() / bright.sum()


def test_a_dentition_shows_two_rows_of_lit_teeth(dentition):
    for picture, above in ((dentition.upper, True), (dentition.lower, False)):
        height = picture.shape[1] // 2
        teeth = picture[2].sum(1)
        assert (teeth[:height].sum() > teeth[height:].sum()) == above  # upper teeth end in the middle, lower begin
        covered = picture[2] > 0.9
        assert (picture[0][covered] / picture[2][covered]).median() > 0.6  # their fronts face the camera and the light


def test_lower_teeth_follow_the_jaw_and_upper_teeth_the_skull(dentition, rest, opened):
    jaws = opened.clone()
    jaws[:, list(CHIN), 1] += 10  # so that the lower lip covers the roots
    still, dropped = painted(dentition, rest, jaws)
    upper = [centre(whiteness(p[None], rest, "upper")[0]) for p in (still, dropped)]
    lower = [centre(whiteness(p[None], rest, "lower")[0]) for p in (still, dropped)]
    assert abs(upper[1] - upper[0]) < 1
    assert 2 < lower[1] - lower[0] < 8


def test_the_lower_lip_covers_the_roots_of_the_lower_teeth(dentition, rest, opened):
    """A chin whose landmarks stand still does not leave the teeth where they were, up to their gums, as a lip falls."""
    lip = opened[:1].clone()
    reach = 0.12 * eye_distance(rest)
    lip[:, list(LIPS_INNER_LOWER[1:-1] + LIPS_OUTER_LOWER[1:-1]), 1] += reach
    before, after = (centre(whiteness(painted(dentition, rest, p), rest, "lower")[0]) for p in (opened[:1], lip))
    assert after > before + 1
    green = painted(dentition, rest, lip)[0, 1]
    x, bottom = (lip[0, 14, :2] - lip.new_tensor((6, 0))).int().tolist()  # beside the gap between two teeth
    top = bottom - round(float(LOWER_SEEN * eye_distance(rest)))
    assert green[top + 1 : bottom - 1, x].min() > green[top - 3, x] + 0.05


def test_a_seed_gives_one_set_of_teeth(dentition, rest, opened):
    first, again, other = (painted(dentition, rest, opened, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.02
    assert first.min() >= 0
    assert first.max() <= 1


def test_teeth_are_lit_as_the_skin_is(dentition, rest, opened):
    light, dark = (painted(dentition, rest, opened, skin).amax((0, 2, 3)) for skin in (LIGHT, DARK))
    assert (dark < light).all()
    assert (dark > 1.1 * DARK).all()
    assert light.min() / light.max() > 0.7  # nearly white


def test_what_no_light_reaches_is_as_dark_as_the_eyes(dentition, rest, opened):
    film = light_on(LIGHT[:, None, None])
    photograph = replace(film, black=torch.tensor(0.0))
    grey, black = (mouth_interior(dentition, rest, opened, light, SIZE, BASIS.mean) for light in (film, photograph))
    assert black.amin((0, 2, 3))[1] < 0.4 * grey.amin((0, 2, 3))[1]
    assert (black - grey).amax() > 0.1  # the teeth, which are darker in films
    clear, film = (picture.flatten(2).amax(2).amax(0) for picture in (black, grey))
    assert clear.min() / clear.max() > film.min() / film.max()  # and take more of the colour of the skin there


def test_teeth_touch_and_the_light_on_them_is_soft(dentition):
    """Nothing of the cavity is seen between two rendered boxes that stand 0.1 cm apart, but a line is."""
    row = dentition.upper[:, dentition.upper.shape[1] // 2 - 8]
    middle, beside = (slice(row.shape[1] // 2 - reach, row.shape[1] // 2 + reach) for reach in (2, 20))
    assert row[2, middle].min() > 0.98
    assert row[0, middle].min() < 0.8 * row[0, beside].max()
    assert (row[2] + row[3]).max() < 1.01


def test_teeth_are_kept_in_a_small_file_and_those_that_ship_are_teeth(dentition, tmp_path):
    save_dentition(dentition, tmp_path / "teeth.safetensors")
    again = load_dentition(tmp_path / "teeth.safetensors")
    for name in ("upper", "lower"):
        torch.testing.assert_close(getattr(again, name), getattr(dentition, name), atol=0.003, rtol=0)
    shipped = load_dentition()
    assert SHIPPED.stat().st_size < 500_000
    assert shipped.upper.shape == dentition.upper.shape
    assert shipped.upper[2].mean() > 0.05 and shipped.lower[2].mean() > 0.05


def test_nothing_in_a_faded_picture_is_darker_than_its_glare(dentition, rest, opened):
    clear = light_on(LIGHT[:, None, None], black=torch.tensor(0.2))
    faded = light_on(0.6 * LIGHT[:, None, None] + 0.4, black=torch.tensor(0.52))
    dark, pale = (mouth_interior(dentition, rest, opened, light, SIZE, BASIS.mean) for light in (clear, faded))
    assert float(faded.glare) > 0.3
    assert pale.min() >= faded.glare and dark.min() < 0.25
    assert pale.max() - pale.min() < 0.7 * (dark.max() - dark.min())
