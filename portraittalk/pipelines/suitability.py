"""What in a portrait will hurt the video made of it, said before the run."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..face.align import extract_crop
from ..face.manual import template
from ..face.mesh import keypoints_of, mesh_crop
from ..face.networks import load_face_networks
from ..face.rigid import rigid_fit
from ..motion.geometry import EYE_LEFT, EYE_RIGHT, Seam, lip_aperture
from ..types import Face, image_size

SMALL_FACE = 100.0  # pixels of the longer side of the face's box
TURNED = 25.0  # degrees between the face and the camera
LENDS = 28.0  # degrees up to which another picture lends the inside of its mouth
WIDE_OPEN = 0.14  # lip aperture in eye distances; broad smiles have up to 0.13, and jawOpen 0.9 at least 0.15
SHUT = 0.13  # mean gap between the lids over the width of the eye; narrowed eyes have 0.16 or more
COVERED = 0.9  # probability


def warnings_about(image: Tensor, face: Face) -> list[str]:
    """Return a sentence for each thing that will hurt a video of a face in a picture (3, H, W) in 0..1."""
    return list(_warnings(image, face))


def _warnings(image: Tensor, face: Face) -> Iterator[str]:
    x0, y0, x1, y1 = face.box
    side = max(x1 - x0, y1 - y0)
    if side < SMALL_FACE:
        yield (
            f"The face is only {side:.0f} pixels high, so lips and teeth will be blurred: use a picture with a face of "
            f"at least {SMALL_FACE:.0f} pixels, better 250."
        )
    angle = turned_away(face.landmarks)
    if angle > TURNED:
        yield (
            f"The face is turned by {angle:.0f} degrees from the camera, so its far side will be stretched: a frontal "
            "portrait works better."
        )
    if mouth_is_covered(image, face):
        yield (
            "Something seems to be in front of the mouth, such as a mask or a hand, and will be moved like lips: use a "
            "portrait whose mouth is free."
        )
    elif lip_aperture(face.landmarks) > WIDE_OPEN:
        yield (
            "The mouth is wide open, so closed lips have to be made up: a portrait with the mouth closed works better."
        )
    if sum(eye_opening(face.landmarks, eye) for eye in (EYE_LEFT, EYE_RIGHT)) / 2 < SHUT:
        yield "The eyes are closed and will stay closed: use a portrait with open eyes."


def warning_about_lender(number: int, landmarks: Tensor) -> str | None:
    """Return why the mouth of a further picture is not shown, None if it can be. landmarks: (478, 3).

    number: of the picture, from 0, the portrait's.
    """
    angle = turned_away(landmarks)
    if angle <= LENDS:
        return None
    return (
        f"The face in picture {number + 1} is turned by {angle:.0f} degrees from the camera, so its open mouth is not "
        "shown in the portrait's: use a picture from the front."
    )


def turned_away(landmarks: Tensor) -> float:
    """Return the angle in degrees between the direction of a face (478, 3) and that to the camera."""
    rotation, _, _ = rigid_fit(template().to(landmarks), landmarks)
    return float(rotation[2, 2].clamp(-1, 1).acos().rad2deg())


def eye_opening(landmarks: Tensor, eye: Seam) -> float:
    """Return the gap between the lids of an eye over the eye's width. landmarks: (478, 3)."""
    upper, lower = (landmarks[list(side), :2] for side in (eye.upper, eye.lower))
    width = (upper[0] - upper[-1]).norm()
    return float((lower - upper)[eye.middle].norm(dim=-1).mean() / width)


@torch.no_grad()
def mouth_is_covered(image: Tensor, face: Face) -> bool:
    """Return whether something is in front of the mouth of a face in a picture (3, H, W) in 0..1."""
    mesh = load_face_networks().mesh
    crop = mesh_crop(keypoints_of(face.landmarks.float().cpu()), image_size(image), mesh.config.input_size)
    _, code = mesh.read(extract_crop(image.float().cpu().clamp(0, 1), crop)[None])
    shows_a_face = float(mesh.presence(code)) > 0  # not so in drawings whose face was placed by hand
    return shows_a_face and float(mesh.covered(code).sigmoid()) > COVERED
