"""Speech -> motion track: the mouth from the motion network, blinks, gaze and head motion from the seed."""

import torch
from torch import Tensor

from ..models.motion_net import MOTION_FPS, MotionNet
from ..progress import Progress, ProgressCallback, ignore_progress
from ..speech.features import at_rate
from ..types import Speech
from .edit import scale
from .life import add_life
from .track import MotionTrack

PIECE_FRAMES = 500  # taken at a time: 20 s of speech, well below a second of work


def speech_to_motion(
    net: MotionNet,
    speech: Speech,
    seed: int = 0,
    head_motion: float = 1.0,
    expression_strength: float = 1.0,
    progress: ProgressCallback = ignore_progress,
) -> MotionTrack:
    """The motion of someone who says ``speech``, one frame for each of its frames.

    The network always listens at 25 frames a second: at other rates the speech is brought there, and its motion back.
    seed decides when the eyes blink and how the head moves; the mouth depends on the speech alone, and is closed and
    still in silence. head_motion and expression_strength: 1 is natural, 0 is none. Reports stage "motion".
    """
    heard = at_rate(speech, MOTION_FPS, net.speech)
    expression = at_frames(spoken_expression(net, heard.features, progress), len(speech), speech.fps)
    living = add_life(MotionTrack.of_expression(expression, speech.fps), seed, head_motion)
    return scale(living, expression=expression_strength)


@torch.no_grad()
def spoken_expression(net: MotionNet, features: Tensor, progress: ProgressCallback = ignore_progress) -> Tensor:
    """Features (F, W, M) at 25 frames a second -> (F, 52), in pieces that overlap by what the network sees."""
    device = next(net.parameters()).device
    count = len(features)
    pieces = []
    for start in range(0, count, PIECE_FRAMES):
        stop = min(start + PIECE_FRAMES, count)
        first = max(start - net.reach, 0)
        seen = features[first : stop + net.reach].to(device)
        pieces.append(net.expression(seen)[start - first : stop - first].cpu())
        progress(Progress("motion", stop, count))
    return torch.cat(pieces)


def at_frames(expression: Tensor, count: int, fps: float) -> Tensor:
    """Expression (F, 52) at 25 frames a second -> (count, 52) at ``fps``, interpolated at the middle of each frame."""
    times = ((torch.arange(count, dtype=torch.float64) + 0.5) / fps * MOTION_FPS - 0.5).clamp(0, len(expression) - 1)
    below = times.floor().long()
    above = (below + 1).clamp(max=len(expression) - 1)
    return torch.lerp(expression[below], expression[above], (times - below)[:, None].to(expression))
