"""Identity by dlib's recognition network, which knows one person from another whatever the picture's light and size."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, interpolate

from portraittalk.face.mesh import MeshProvider
from portraittalk.media.reader import read_video
from portraittalk.metrics.recognition import FaceRecognition
from portraittalk.metrics.video_measures import measure_video


@pytest.fixture(scope="module")
def recognition() -> FaceRecognition:
    if not FaceRecognition.installed():
        pytest.skip("no dlib here: pip install dlib-bin face-recognition-models")
    return FaceRecognition()


def test_one_person_is_near_and_another_far(recognition, portrait, portrait_face):
    from skimage.data import astronaut

    other = torch.from_numpy(astronaut()).permute(2, 0, 1) / 255
    smaller = interpolate(0.7 * portrait[None], scale_factor=0.4, mode="area")[0]
    person = recognition(portrait, portrait_face)
    again, stranger = (recognition(image, MeshProvider()(image)[0]) for image in (smaller, other))
    assert (person - again).norm() < 0.4
    assert (person - stranger).norm() > 0.6
    assert cosine_similarity(person, again, 0) > 0.95 > cosine_similarity(person, stranger, 0)


def test_a_video_of_the_person_is_told_from_one_of_another(recognition, tiny_model, portrait, portrait_face, clip):
    identity = tiny_model.encode_identity([portrait], faces=[[portrait_face]])
    seen = measure_video(read_video(clip), identity.crop, MeshProvider(), None, recognition, identity)
    assert seen.distance is not None and seen.cosine is not None
    assert seen.distance < 0.5
    assert 0.95 < seen.cosine <= 1
