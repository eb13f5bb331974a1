"""No face is found where there is none, and what looks a little like one does not win against a face."""

from random import Random

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from portraittalk.errors import FaceError
from portraittalk.face.mesh import MeshProvider
from portraittalk.face.select import find_face


def page_of_text(seed: int) -> Image.Image:
    random, image = Random(seed), Image.new("RGB", (400, 520), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    for row in range(12, 480, 14):
        line = " ".join("".join(random.choices("aeinorstlcdmu", k=random.randint(2, 9))) for _ in range(9))
        draw.text((12, row), line, (0, 0, 0), font)
    return image.resize((800, 1040), Image.Resampling.BICUBIC)


def flow_chart(seed: int) -> Image.Image:
    random, image = Random(seed), Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    for number in range(9):
        x, y = 40 + number % 3 * 250 + random.randint(-20, 20), 40 + number // 3 * 190
        draw.line((x + 80, y + 40, x + 330, y + 40), (0, 0, 0), 3)
        shape = random.choice((draw.rectangle, draw.ellipse))
        shape((x, y, x + 160, y + 80), (random.randint(100, 255), 200, 230), (0, 0, 0), 3)
        draw.text((x + 40, y + 30), random.choice(("begin", "is it so?", "end", "read file")), (0, 0, 0))
    return image


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


@pytest.mark.parametrize("draw", [page_of_text, flow_chart])
def test_text_and_charts_show_no_face(draw):
    for seed in (0, 1):
        with pytest.raises(FaceError, match=r"No face was found in the picture.*box or landmarks by hand"):
            find_face(tensor(draw(seed)))


def test_a_painted_over_face_is_none(portrait, portrait_face, shrink):
    x0, y0, x1, y1 = (round(v) for v in portrait_face.box)
    picture = portrait.clone()
    picture[:, y0:y1, x0:x1] = picture[:, y1 - 10 : y1 + 10, x0:x1].mean((1, 2))[:, None, None]
    assert MeshProvider()(shrink(picture, 384)) == []


def test_the_face_wins_against_larger_text(portrait, portrait_face, shrink):
    """Text was found as faces, whose largest box won."""
    picture = torch.ones(3, 1040, 1100)
    picture[:, :, 300:] = tensor(page_of_text(1))
    picture[:, 700:, :320] = shrink(portrait, 340)[:, :, :320]
    (face,) = MeshProvider()(picture)
    expected = portrait_face.landmarks[:, :2] * 340 / 768 + torch.tensor([0.0, 700.0])
    assert (face.landmarks[:, :2] - expected).norm(dim=1).mean() < 5
