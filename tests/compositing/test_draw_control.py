"""The coloured drawing that a ControlNet for MediaPipe's landmarks is shown."""

from itertools import pairwise

import pytest
import torch

from portraittalk.compositing.draw_control import LINES, PUPILS, draw_control
from portraittalk.face import topology as mesh
from portraittalk.face.align import aligned_crop, to_crop


def colours(picture):
    return {tuple(colour) for colour in (picture * 255).round().long().flatten(1).T.tolist()}


def in_crop(portrait, face, size):
    return to_crop(face.landmarks, aligned_crop(face.landmarks, portrait.shape[-2:], size, 3.0))


def test_parts_have_the_colours_that_the_network_was_trained_with(portrait, portrait_face):
    drawn = draw_control(in_crop(portrait, portrait_face, 512)[None], 512, 512)[0]
    assert drawn.shape == (3, 512, 512)
    known = {colour for colour, _ in LINES} | {colour for colour, _ in PUPILS}
    assert colours(drawn) == {(0, 0, 0), *known} and len(known) == 8
    # the subject's right eye, on the picture's left, is drawn more in red, the left one more in blue
    half = drawn.shape[-1] // 2
    assert drawn[0, :, :half].sum() > drawn[2, :, :half].sum()
    assert drawn[0, :, half:].sum() < drawn[2, :, half:].sum()


def test_lines_pass_through_the_landmarks_they_join(portrait, portrait_face):
    points = in_crop(portrait, portrait_face, 512)
    drawn = (draw_control(points[None], 512, 512)[0] * 255).round()
    for colour, paths in LINES:
        is_colour = (drawn == torch.tensor(colour)[:, None, None]).all(0)
        for path in paths:
            for index in path[1:-1]:
                x, y = points[index, :2].round().long().tolist()
                assert is_colour[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].any() or colour == LINES[0][0]


def test_a_drawing_follows_the_size_that_is_asked_for(portrait, portrait_face):
    points = in_crop(portrait, portrait_face, 512)[None]
    small, large = draw_control(points, 512, 128), draw_control(points, 512, 512)
    assert small.shape == (1, 3, 128, 128)
    shrunk = torch.nn.functional.max_pool2d(large, 4)
    assert ((small > 0) & (shrunk == 0)).float().mean() < 0.03
    both = draw_control(torch.cat((points, points + 20)), 512, 128)
    assert torch.equal(both[0], small[0]) and not torch.equal(both[1], small[0])


def test_connections_are_mediapipes():
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    theirs = {frozenset((line.start, line.end)) for line in vision.FaceLandmarksConnections.FACE_LANDMARKS_CONTOURS}
    ours = {frozenset(pair) for _, paths in LINES for path in paths for pair in pairwise(path)}
    assert ours == theirs and len(mesh.FACE_OVAL) == 36
