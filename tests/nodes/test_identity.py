"""Which face is taken, and what is shown of it."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def encode(run, model, portrait):
    """encode(face, *pictures, max_side): runs the node, by default on the demo portrait."""

    def execute(face: dict[str, Any], *pictures: torch.Tensor, max_side: int = 0) -> Any:
        references = {f"reference{number}": picture for number, picture in enumerate(pictures or [portrait])}
        return run("PortraitTalkIdentityEncode", model=model, references=references, face=face, max_side=max_side)

    return execute


def by_landmarks(landmarks: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"face": "face landmarks", "landmarks": landmarks, "index": index}


def test_core_landmarks_are_taken_as_they_are(encode, library, face_landmarks):
    identity = encode(by_landmarks(face_landmarks))[0]
    back = library("face.align").from_crop(identity.landmarks, identity.crop)
    given = torch.from_numpy(face_landmarks["frames"][0][0]["landmarks_xy"])
    assert torch.allclose(back[:, :2], given, atol=0.01)
    assert identity.blendshapes.sum() == pytest.approx(0.1)


def test_a_reduced_portrait_keeps_the_face_in_its_place(encode, portrait, face_landmarks):
    whole, half = (encode(by_landmarks(face_landmarks), max_side=side)[0] for side in (0, 128))
    assert half.portrait.shape[1:] == (128, 128)
    assert torch.allclose(half.landmarks, whole.landmarks, atol=0.05)  # in crop pixels


def test_landmarks_of_another_picture_are_refused(encode, library, portrait, face_landmarks):
    with pytest.raises(library("errors").FaceError, match="not those of the reference pictures"):
        encode(by_landmarks(face_landmarks), portrait[:, :-10])
    with pytest.raises(library("errors").FaceError, match="one batch of all the pictures"):
        encode(by_landmarks(face_landmarks), portrait, portrait)


def test_several_pictures_and_batches_make_one_identity(encode, portrait, face_landmarks):
    landmarks = face_landmarks | {"frames": face_landmarks["frames"] * 3}
    identity = encode(by_landmarks(landmarks), portrait.repeat(2, 1, 1, 1), portrait)[0]
    assert len(identity.references) == 3 and torch.equal(identity.references[0], identity.references[2])


def test_the_preview_marks_the_face(encode, folders, portrait, face_landmarks):
    shown = encode(by_landmarks(face_landmarks)).ui.as_dict()["images"][0]
    pixels = np.array(Image.open(folders["temp"] / shown["filename"])).astype(int)
    changed = np.abs(pixels - (portrait[0].numpy() * 255).astype(int)).max(-1) > 40
    assert pixels.shape == tuple(portrait.shape[1:])
    assert 0.01 < changed.mean() < 0.2  # an outline and some points, the picture under them
    rows, columns = np.nonzero(changed)
    assert 0.2 < rows.mean() / len(pixels) < 0.8 and 0.2 < columns.mean() / len(pixels) < 0.8


def test_an_index_that_is_not_there_is_refused(encode, library, face_landmarks):
    with pytest.raises(library("errors").FaceError, match="no face 3"):
        encode(by_landmarks(face_landmarks, index=3))


@pytest.fixture
def couple(portrait):
    """The demo portrait twice side by side, the right one smaller."""
    small = torch.nn.functional.interpolate(portrait.movedim(-1, 1), scale_factor=0.75).movedim(1, -1)
    image = torch.full((1, 256, 512, 3), 0.5)
    image[:, :, :256], image[:, 32:224, 288:480] = portrait, small
    return image


def centre_of(identity: Any, library: Any) -> float:
    return library("face.align").from_crop(identity.landmarks, identity.crop)[:, 0].mean().item()


def test_faces_are_chosen_by_size_number_box_and_mask(encode, library, couple):
    mask = torch.zeros(1, 256, 512)
    mask[:, :, 268:] = 1
    small_mask = torch.nn.functional.interpolate(mask[None], scale_factor=0.25)[0]
    left = [{"face": "largest face"}, {"face": "face number", "index": 0}]
    right = [
        {"face": "face number", "index": 1},
        {"face": "box", "x": 300, "y": 40, "width": 167, "height": 173},
        {"face": "mask", "mask": mask},
        {"face": "mask", "mask": small_mask},  # as another node may have scaled it
    ]
    assert all(centre_of(encode(face, couple)[0], library) < 256 for face in left)
    assert all(centre_of(encode(face, couple)[0], library) > 256 for face in right)


def test_several_faces_are_numbered_in_the_preview(encode, folders, couple, portrait):
    def yellow(picture):
        shown = encode({"face": "face number", "index": 0}, picture).ui.as_dict()["images"][0]
        pixels = np.array(Image.open(folders["temp"] / shown["filename"])).astype(int)
        return np.abs(pixels - (255, 200, 60)).max(-1) < 10

    boxes = yellow(couple)
    assert boxes[:, :256].sum() > boxes[:, 256:].sum() > 130
    assert not yellow(portrait).any()


def test_no_face_is_said_in_words(encode, library):
    with pytest.raises(library("errors").FaceError, match="No face was found"):
        encode({"face": "largest face"}, torch.full((1, 256, 256, 3), 0.5))


def test_what_will_hurt_the_result_is_shown_on_the_node(nodes, model, folders, half_portrait, shown_text):
    from comfy_api.latest import io

    node = nodes["PortraitTalkIdentityEncode"].PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "5"}})
    small = torch.nn.functional.interpolate(half_portrait.movedim(-1, 1), (256, 256), mode="area").movedim(1, -1)
    given = {"model": model, "face": {"face": "largest face"}}
    node.execute(references={"reference0": half_portrait}, max_side=0, **given)
    assert not any(shown_text)
    node.execute(references={"reference0": small}, max_side=0, **given)
    assert shown_text[-1].startswith("The face is only")
    node.execute(references={"reference0": half_portrait}, max_side=256, **given)
    assert shown_text[-1].count("The face is only") == 1, "those of an earlier run are gone"
