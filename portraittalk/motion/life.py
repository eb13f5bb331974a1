"""What a speaker does besides moving the lips: head motion, raised brows, blinks and gaze.

Speech says when, the seed says what. Everything random belongs to its moment (``motion.draws``), so a longer speech
starts like a shorter one. The first frame has the portrait's pose.
"""

from dataclasses import replace

import torch

from ..speech.prosody import Prosody
from .brows import brows
from .eyes import BLINKS_PER_MINUTE, blinks, gaze
from .head import head_motion as head_motion_of
from .manner import Manner
from .track import MotionTrack

EYES_STAY = 0.8  # share of a head rotation that the eyes compensate, to keep looking at the viewer


def add_life(
    track: MotionTrack,
    prosody: Prosody,
    seed: int,
    liveliness: float = 1.0,
    head_motion: float = 1.0,
    blinks_per_minute: float = BLINKS_PER_MINUTE,
    manner: Manner | None = None,
) -> MotionTrack:
    """Add head motion, brows, blinks and small eye movements to the track of a speech.

    prosody: of the same speech. liveliness: amplitude of all but the blinks: 0 is still, 1 a natural speaker, 2 a
    lively one. head_motion: scales the head's motion once more. manner: of a prompt, by default none.
    """
    times = torch.arange(len(track)) / track.fps
    manner = manner or Manner()
    rotation, translation = head_motion_of(prosody, times, seed, liveliness * head_motion * manner.head, manner.tempo)
    glances = min(liveliness, 1.0) * manner.gaze * gaze(prosody, times, seed, manner.tempo)
    looking = glances - EYES_STAY * rotation[:, [1, 0]]
    blink = blinks(prosody, times, seed, blinks_per_minute * manner.blinks, manner.tempo)
    raised = brows(prosody, times, seed, liveliness * manner.brows, manner.tempo)
    return replace(
        track,
        expression=(track.expression + raised.to(track.expression)).clamp(0, 1),
        blink=torch.maximum(track.blink, blink.to(track.blink)),
        rotation=track.rotation + rotation.to(track.rotation),
        translation=track.translation + translation.to(track.translation),
        gaze=track.gaze + looking.to(track.gaze),
    )
