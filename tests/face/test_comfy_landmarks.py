import math

import numpy as np
import pytest
import torch

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.errors import FaceError
from portraittalk.face.comfy_landmarks import faces_from_comfyui


def core_face(face, degrees: float = 20.0) -> dict:
    """What core's landmarker says of a face: x, y and z in a turned and scaled crop, x and y in the picture too."""
    landmarks = face.landmarks.double()
    scale, angle = 192 / 400, math.radians(degrees)
    rotation = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
    crop = torch.cat((landmarks[:, :2] @ rotation.T * scale + 7, landmarks[:, 2:] * scale), 1)
    flat = landmarks[:, :2].float().numpy()
    return {
        "bbox_xyxy": np.concatenate((flat.min(0), flat.max(0))),
        "blendshapes": {"_neutral": 0.5, **dict(zip(ARKIT_NAMES[:-1], face.blendshapes.tolist(), strict=False))},
        "landmarks_xy": flat,
        "landmarks_3d": crop.float().numpy(),
        "presence": 4.0,
        "score": 0.93,
        "transformation_matrix": np.eye(4, dtype=np.float32),
    }


def core_value(*frames) -> dict:
    return {"frames": list(frames), "image_size": (768, 768), "connection_sets": {"lips": frozenset({(61, 146)})}}


def test_a_face_comes_through_as_it_was(portrait_face):
    ((face,),) = faces_from_comfyui(core_value([core_face(portrait_face)]))
    assert torch.allclose(face.landmarks, portrait_face.landmarks, atol=0.02)
    assert torch.allclose(face.blendshapes[:-1], portrait_face.blendshapes[:-1])
    assert face.score == pytest.approx(0.93)


def test_faces_of_a_batch_largest_first(portrait_face, crowd, provider):
    faces = provider(crowd)
    found = faces_from_comfyui(core_value([core_face(f) for f in (faces[2], faces[0], faces[1])], []))
    assert [len(frame) for frame in found] == [3, 0]
    assert [face.box for face in found[0]] == [pytest.approx(face.box, abs=0.01) for face in faces]


@pytest.mark.parametrize("value", [None, {}, [], {"frames": [[{}]]}, {"frames": 3}, {"frames": [[None]]}])
def test_something_else_is_refused(value):
    with pytest.raises(FaceError, match="Detect Face Landmarks"):
        faces_from_comfyui(value)


def test_faces_without_values_are_refused(portrait_face):
    with pytest.raises(FaceError, match="Detect Face Landmarks"):
        faces_from_comfyui(core_value([{**core_face(portrait_face), "blendshapes": None}]))
    nowhere = np.full((478, 2), np.nan)
    with pytest.raises(FaceError, match="contain NaN or infinite"):
        faces_from_comfyui(core_value([{**core_face(portrait_face), "landmarks_xy": nowhere}]))


def test_another_mesh_is_refused(portrait_face):
    face = core_face(portrait_face)
    face["landmarks_xy"] = face["landmarks_xy"][:468]
    with pytest.raises(FaceError, match="478 points"):
        faces_from_comfyui(core_value([face]))
