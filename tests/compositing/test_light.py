import torch

from portraittalk.compositing.light import skin_colour
from portraittalk.face.manual import face_in_box


def test_skin_colour_is_that_of_the_picture():
    points = face_in_box((48.0, 48.0, 208.0, 208.0)).landmarks[None]
    colour = torch.tensor([0.2, 0.5, 0.7])[:, None, None]
    found = skin_colour(colour.expand(1, 3, 256, 256), points)
    torch.testing.assert_close(found[0], colour, atol=1e-4, rtol=0)
