"""Speech -> motion track: the mouth from the motion network, blinks, gaze and head motion from the seed."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.motion_net import MOTION_FPS, MotionNet
from ..progress import Progress, ProgressCallback, ignore_progress
from ..speech.features import at_rate
from ..types import Speech
from .life import add_life
from .track import MotionTrack
from .transform import scale

PIECE_FRAMES = 500  # taken at a time: 20 s of speech, well below a second of work
PAUSE_FRAMES = 2  # to either side of a frame in which nothing may be said for the mouth to be at rest
EASE_FRAMES = 2  # over which it comes to rest, to either side
SETTLED = 0.3  # how much of the portrait's own mouth is kept after something was said
HUSHED = (
    0.75  # how much is taken from what the network does in a pause: who taught it opens his mouth long before words
)


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
    seed decides when the eyes blink and how the head moves; the mouth depends on the speech alone, and rests in
    silence. head_motion and expression_strength: 1 is natural, 0 is none. Reports stage "motion".
    """
    heard = at_rate(speech, MOTION_FPS, net.speech)
    expression, silence = spoken_expression(net, heard.features, progress)
    pause = pauses(silence)[:, None]
    moved = torch.cat((expression * (1 - HUSHED * pause), resting(pause)), 1)
    expression, rest = at_frames(moved, len(speech), speech.fps).split((expression.shape[1], 1), dim=1)
    speaking = replace(MotionTrack.of_expression(expression, speech.fps), rest=rest[:, 0])
    return scale(add_life(speaking, seed, head_motion), expression=expression_strength)


@torch.no_grad()
def spoken_expression(
    net: MotionNet, features: Tensor, progress: ProgressCallback = ignore_progress
) -> tuple[Tensor, Tensor]:
    """Features (F, W, M) at 25 frames a second -> (F, 52), and how likely nothing is said (F,), in pieces that overlap
    by what the network sees."""
    device = next(net.parameters()).device
    count, levels = len(features), net.levels(features.to(device))
    pieces = []
    for start in range(0, count, PIECE_FRAMES):
        stop = min(start + PIECE_FRAMES, count)
        first = max(start - net.reach, 0)
        seen = features[first : stop + net.reach].to(device)
        pieces.append([part[start - first : stop - first].cpu() for part in net.expression(seen, levels)])
        progress(Progress("motion", stop, count))
    expression, silence = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return expression, silence


def pauses(silence: Tensor) -> Tensor:
    """How likely nothing is said (F,) at 25 frames a second -> how much each frame lies in a pause that lasts: (F,)."""
    lasting = -F.max_pool1d(-_padded(silence, PAUSE_FRAMES), 2 * PAUSE_FRAMES + 1, 1)
    return F.avg_pool1d(_padded(lasting[0], EASE_FRAMES), 2 * EASE_FRAMES + 1, 1)[0]


def resting(pause: Tensor) -> Tensor:
    """``pauses`` (F, ...) -> ``MotionTrack.rest``: before the first word the portrait's own mouth is kept, in later
    pauses ``SETTLED`` of it."""
    spoken = (1 - pause).cummax(0).values
    return pause * (1 - (1 - SETTLED) * spoken)


def _padded(values: Tensor, frames: int) -> Tensor:
    """(F,) -> (1, F + 2 frames), the ends repeated beyond themselves."""
    return F.pad(values[None], (frames, frames), mode="replicate")


def at_frames(values: Tensor, count: int, fps: float) -> Tensor:
    """Values (F, C) at 25 frames a second -> (count, C) at ``fps``, interpolated at the middle of each frame."""
    times = ((torch.arange(count, dtype=torch.float64) + 0.5) / fps * MOTION_FPS - 0.5).clamp(0, len(values) - 1)
    below = times.floor().long()
    above = (below + 1).clamp(max=len(values) - 1)
    return torch.lerp(values[below], values[above], (times - below)[:, None].to(values))
