"""From identity and motion track to structure: the target geometry, and the reference warped to it."""

from dataclasses import replace

import torch
from torch import Tensor

from ..config import PortraitTalkConfig
from ..face.turned import unfolded
from ..models.face_basis import FaceBasis
from ..motion.geometry import TONGUE_OUT, keeps_mouth, lip_aperture, move_landmarks, shown_expression, tongue_of
from ..motion.track import MotionTrack
from ..types import CloseUp, Identity, MouthWindow, Structure, Tongue, View
from .draw import landmark_map, motion_mask
from .draw_control import draw_control
from .lids import close_lids, opened_eyes
from .mouth import borrow_mouth
from .mouth_window import drawn_region, mouth_window, moving_mouth, shown_pixels
from .warp import flow_between, warp

# Factors that bring all coefficients to a magnitude of about one.
ROTATION_SCALE, TRANSLATION_SCALE, GAZE_SCALE, APERTURE_SCALE = 4.0, 10.0, 4.0, 5.0


def build_structure(
    identity: Identity, track: MotionTrack, basis: FaceBasis, config: PortraitTalkConfig, turn_later: bool = False
) -> Structure:
    """Build the structure of every frame of ``track``; slice a long track to build it in pieces.

    turn_later: keep the portrait's own pose, and leave the track's to the compositor, which turns the whole head.
    """
    pose = torch.cat((track.rotation, track.translation), 1)
    if turn_later:
        track = replace(
            track, rotation=torch.zeros_like(track.rotation), translation=torch.zeros_like(track.translation)
        )
    track = replace(track, rest=track.rest * keeps_mouth(lip_aperture(identity.landmarks)))
    landmarks = move_landmarks(identity.landmarks, identity.blendshapes, track, basis)
    expression = shown_expression(track, identity.blendshapes)
    structure = structure_of_landmarks(identity, landmarks, expression, track, basis, config)
    return replace(structure, pose=pose) if turn_later else structure


def structure_of_landmarks(
    identity: Identity,
    landmarks: Tensor,
    expression: Tensor,
    track: MotionTrack,
    basis: FaceBasis,
    config: PortraitTalkConfig,
) -> Structure:
    """Build the structure of faces with given landmarks, such as those of a real video.

    landmarks: (F, 478, 3) in crop pixels. expression: (F, 52) of these faces. track: their pose, gaze, blinks and
    tongues.
    """
    size, tongue, landmarks = config.crop_size, tongue_of(track), unfolded(landmarks)
    if config.window_size:
        return _window_structure(identity, landmarks, expression, tongue, basis, config)
    draw = draw_control if config.structure.guider == "control" else landmark_map
    cells = config.structure.flow_size
    opened, closure = opened_eyes(identity.landmarks, landmarks)
    flow = flow_between(identity.landmarks, opened, size, cells)
    portrait = View(identity.references[0], identity.landmarks)
    warped = close_lids(warp(portrait.picture, flow), flow, portrait, closure)
    mask = motion_mask(identity.landmarks, landmarks, size)
    warped, borrowed = borrow_mouth(warped, landmarks, portrait, identity.open_mouth, cells)
    return Structure(
        landmarks=landmarks,
        map=draw(landmarks, size, config.structure.map_size),
        coefficients=structure_coefficients(expression, track, lip_aperture(landmarks), config.structure.coefficients),
        flow=flow,
        closure=closure,
        warped=warped,
        borrowed=borrowed,
        mask=mask,
        pose=landmarks.new_zeros(len(landmarks), 6),
        tongue=torch.stack((tongue.raised, tongue.out), 1),
    )


def _window_structure(
    identity: Identity,
    landmarks: Tensor,
    expression: Tensor,
    tongue: Tongue,
    basis: FaceBasis,
    config: PortraitTalkConfig,
) -> Structure:
    """As ``structure_of_landmarks``, for a network that draws the mouth window."""
    opened, closure = opened_eyes(identity.landmarks, landmarks)
    flow = flow_between(identity.landmarks, opened, config.crop_size, config.structure.flow_size)
    window = mouth_window(identity.landmarks, config.crop_size)
    structure = window_structure(identity.close_ups, window, landmarks, expression, tongue, basis, config, flow)
    return replace(structure, flow=flow, closure=closure)


def window_structure(
    close_ups: tuple[CloseUp, ...],
    window: MouthWindow,
    landmarks: Tensor,
    expression: Tensor,
    tongue: Tongue,
    basis: FaceBasis,
    config: PortraitTalkConfig,
    flow: Tensor | None = None,
) -> Structure:
    """Build the structure of a mouth window of faces with landmarks (F, 478, 3) in crop pixels, without a flow.

    The pictures have the density of the close-ups. close_ups, tongue, flow: as in ``moving_mouth``. expression:
    (F, 52). Pose and gaze are left out of the coefficients, because the window shows neither head nor eyes.
    """
    size, cells, maps = shown_pixels(close_ups[0]), config.structure.flow_size, config.structure.map_size
    moved = window.to_pixels(landmarks, config.crop_size, size)
    shown, weight = moving_mouth(close_ups, landmarks, flow, window, size, config.crop_size, cells, basis.mean, tongue)
    still = MotionTrack.of_expression(expression, fps=25.0)
    return Structure(
        landmarks=landmarks,
        map=landmark_map(moved, size, maps, eyes=False),
        coefficients=structure_coefficients(expression, still, lip_aperture(landmarks), config.structure.coefficients),
        flow=landmarks.new_zeros(len(landmarks), 8, 1, 1),
        closure=landmarks.new_zeros(len(landmarks), 2),
        warped=shown,
        borrowed=weight,
        mask=drawn_region(moved, size),
        pose=landmarks.new_zeros(len(landmarks), 6),
        tongue=torch.stack((tongue.raised, tongue.out), 1),
    )


def structure_coefficients(expression: Tensor, track: MotionTrack, aperture: Tensor, count: int = 64) -> Tensor:
    """Return the input (F, count) of the structure tokens, scaled to a magnitude of about one.

    0..51: expression (F, 52) of the face, in the order of ``ARKIT_NAMES``; tongueOut is left out, because no network
    was trained with tongues. 52..54: rotation. 55..57: translation.
    58..59: gaze. 60: blink. 61: lip aperture (F,). The rest is zero.
    """
    shown = expression.clone()
    shown[:, TONGUE_OUT] = 0
    parts = (
        shown,
        track.rotation * ROTATION_SCALE,
        track.translation * TRANSLATION_SCALE,
        track.gaze * GAZE_SCALE,
        track.blink[:, None],
        aperture[:, None] * APERTURE_SCALE,
    )
    joined = torch.cat(parts, 1)
    return torch.nn.functional.pad(joined, (0, count - joined.shape[1]))
