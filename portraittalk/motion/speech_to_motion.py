"""From speech to a motion track: mouth from the motion network; blinks, gaze and head motion from the seed."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.motion_net import MOTION_FPS, MotionNet
from ..progress import Progress, ProgressCallback, ignore_progress
from ..speech.features import at_rate
from ..speech.prosody import read_prosody
from ..types import Speech
from .eyes import BLINKS_PER_MINUTE
from .geometry import TONGUE_OUT
from .life import add_life
from .manner import Manner
from .track import MotionTrack
from .transform import scale

PIECE_FRAMES = 500  # frames per pass of the network: 20 s of speech, well below a second of computation
PAUSE_FRAMES = 2  # frames to each side that must be silent too for the mouth to rest
EASE_FRAMES = 2  # frames to each side over which the mouth eases into and out of rest
# Share of the network's output that is removed in pauses: the training speakers open their mouths well before a word.
HUSHED = 0.75
STEPS_UP = 2  # frames in which the tip of the tongue rises, and in which it falls: 80 ms
BETWEEN_TEETH = 0.4  # tongueOut of th
RELAXED = 0.6  # share of the portrait's smile that is given up while somebody speaks
PHRASE_GAP = 0.5  # seconds of a pause in which it does not come back
RELAXING = 0.35  # seconds, time constant of a smile that goes and comes; most of it takes three of them


def speech_to_motion(
    net: MotionNet,
    speech: Speech,
    seed: int = 0,
    head_motion: float = 1.0,
    expression_strength: float = 1.0,
    progress: ProgressCallback = ignore_progress,
    *,
    liveliness: float = 1.0,
    blinks_per_minute: float = BLINKS_PER_MINUTE,
    manner: Manner | None = None,
) -> MotionTrack:
    """Make a motion track from speech, with one frame per speech frame.

    The network runs at 25 fps: speech at another frame rate is resampled to it, and the motion back. seed: sets head
    motion, brows, blinks and gaze; mouth and tongue depend on the speech only, and rest in silence. The portrait's
    smile is partly given up while somebody speaks, less if liveliness is below 1. head_motion,
    expression_strength, liveliness: 1 is natural, 0 is none; see ``add_life``. manner: how
    a prompt changes the motion, by default not at all; its gestures come with the expression, see ``prompted``. Reports
    the stage "motion".
    """
    resampled = at_rate(speech, MOTION_FPS, net.speech)
    expression, silence, tip = spoken_expression(net, resampled.features, progress)
    pause = pauses(silence)[:, None]
    parts = (expression * (1 - HUSHED * pause), resting(pause), relaxing(1 - pause), flaps(tip) * (1 - pause))
    values = at_frames(torch.cat(parts, 1), len(speech), speech.fps)
    expression, rest, relaxed, raised, out = values.split((expression.shape[1], 1, 1, 1, 1), dim=1)
    manner = manner or Manner()
    spoken = (manner.mouth * expression).clamp_max(1)
    spoken[:, TONGUE_OUT] = BETWEEN_TEETH * out[:, 0]
    # A view would keep the values of all coefficients alive.
    still = MotionTrack.of_expression(spoken, speech.fps)
    speaking = replace(
        still,
        rest=rest[:, 0].clone(),
        tongue=raised[:, 0].clone(),
        relaxed=min(liveliness, 1.0) * RELAXED * relaxed[:, 0],
    )
    prosody = read_prosody(resampled.features, silence, MOTION_FPS)
    alive = add_life(speaking, prosody, seed, liveliness, head_motion, blinks_per_minute, manner)
    return scale(alive, expression=expression_strength)


@torch.no_grad()
def spoken_expression(
    net: MotionNet, features: Tensor, progress: ProgressCallback = ignore_progress
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what ``MotionNet.expression`` returns, for features (F, W, M) at 25 fps.

    Long speech is processed in pieces that overlap by the network's receptive field.
    """
    device = next(net.parameters()).device
    count, levels = len(features), net.levels(features.to(device))
    pieces = []
    for start in range(0, count, PIECE_FRAMES):
        stop = min(start + PIECE_FRAMES, count)
        first = max(start - net.reach, 0)
        context = features[first : stop + net.reach].to(device)
        pieces.append([part[start - first : stop - first].cpu() for part in net.expression(context, levels)])
        progress(Progress("motion", stop, count))
    expression, silence, tip = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return expression, silence, tip


def pauses(silence: Tensor) -> Tensor:
    """Return how far each frame lies in a sustained pause, (F,) in 0..1; silence: (F,) its probability at 25 fps."""
    sustained = -F.max_pool1d(-_padded(silence, PAUSE_FRAMES), 2 * PAUSE_FRAMES + 1, 1)
    return F.avg_pool1d(_padded(sustained[0], EASE_FRAMES), 2 * EASE_FRAMES + 1, 1)[0]


def flaps(tip: Tensor) -> Tensor:
    """Return a motion (F, C) of the tongue that reaches values (F, C) in 0..1 and takes ``STEPS_UP`` frames to do so.

    It rises before and falls after them. Single frames that are lower than both neighbours are filled up: no tongue is
    that fast.
    """
    before, after = (torch.maximum(tip, _moved(tip, step)) for step in (1, -1))
    flapping = filled = torch.minimum(before, after)
    for step in range(1, STEPS_UP):
        for neighbour in (_moved(filled, step), _moved(filled, -step)):
            flapping = torch.maximum(flapping, neighbour - step / STEPS_UP)
    return flapping


def _moved(values: Tensor, frames: int) -> Tensor:
    """Return values (F, C) moved later by ``frames``, or earlier if negative; the ends are replicated."""
    return values[(torch.arange(len(values)) - frames).clamp(0, len(values) - 1)]


def resting(pause: Tensor) -> Tensor:
    """Return ``MotionTrack.rest``: ``pauses`` (F, ...) up to the first word, 0 after it: lips meet in pauses."""
    spoken = (1 - pause).cummax(0).values
    return pause * (1 - spoken)


def relaxing(speaking: Tensor) -> Tensor:
    """Return how far the smile for the picture is gone, (F, 1) in 0..1. speaking: (F, 1) in 0..1 at 25 fps.

    It is the answer of a critically damped spring that starts at 0: a smile goes within a second of the first word, and
    comes back in pauses longer than ``PHRASE_GAP``. It depends only on what came before, so a longer speech starts like
    a shorter one.
    """
    steps = torch.arange(1, round(8 * RELAXING * MOTION_FPS) + 1) / (RELAXING * MOTION_FPS)
    response = steps * torch.exp(-steps)
    kernel = (response / response.sum()).flip(0).to(speaking)
    gap = round(PHRASE_GAP * MOTION_FPS)
    held = F.max_pool1d(F.pad(speaking.T[None], (gap, 0)), gap + 1, 1)
    before = F.pad(held, (len(kernel), 0))[..., :-1]  # (1, 1, F + K - 1)
    return F.conv1d(before, kernel[None, None])[0].T


def _padded(values: Tensor, frames: int) -> Tensor:
    """Pad values (F,) to (1, F + 2 * frames) by replicating the ends."""
    return F.pad(values[None], (frames, frames), mode="replicate")


def at_frames(values: Tensor, count: int, fps: float) -> Tensor:
    """Resample values (F, C) at 25 fps to (count, C) at ``fps``, interpolated at the middle of each frame."""
    times = ((torch.arange(count, dtype=torch.float64) + 0.5) / fps * MOTION_FPS - 0.5).clamp(0, len(values) - 1)
    below = times.floor().long()
    above = (below + 1).clamp(max=len(values) - 1)
    return torch.lerp(values[below], values[above], (times - below)[:, None].to(values))
