"""How moods change the way one moves: tempo, amplitude and posture, beside the expression that they put on the face.

The values are ours, from what is known of moving faces: sadness and tiredness slow and shrink all motion and lower the
head; excitement and anger speed it up and widen it; fear and worry keep the eyes moving and blinking.
"""

from functools import lru_cache

import torch
from torch import Tensor

from ..arkit import EXPRESSION_NAMES, MANNER_NAMES
from .plain_rules import SMILE, expression_of

# The concepts of the expression network, in the order of its outputs (``training/text/captions.json``).
CONCEPT_NAMES = (
    "smile", "sad", "angry", "surprised", "worried", "afraid", "disgust", "smirk", "doubt", "tired", "squint",
    "wide_eyes", "brows_up", "brows_down", "pout", "kiss", "puff", "pain", "bored", "calm", "proud", "shy", "wink",
    "gaze_left", "gaze_right", "gaze_up", "gaze_down", "head_left", "head_right", "head_down", "head_up", "tilt",
    "thinking",
)  # fmt: skip

# Names of MANNER_NAMES, and of the angles of EXPRESSION_NAMES for the posture.
MOODS: dict[str, dict[str, float]] = {
    "smile": {"tempo": 0.1, "head": 0.15, "brows": 0.2},
    "sad": {"tempo": -0.5, "head": -0.45, "brows": -0.4, "gaze": -0.3, "mouth": -0.12, "blinks": -0.35, "pitch": 0.08},
    "angry": {"tempo": 0.3, "head": 0.3, "mouth": 0.12, "blinks": -0.4, "pitch": 0.02},
    "surprised": {"tempo": 0.3, "head": 0.2, "brows": 0.4, "blinks": -0.3},
    "worried": {"tempo": 0.15, "head": -0.2, "gaze": 0.5, "blinks": 0.5},
    "afraid": {"tempo": 0.35, "head": -0.2, "gaze": 0.6, "blinks": 0.4, "pitch": -0.03},
    "disgust": {"tempo": -0.1, "head": -0.1, "pitch": -0.03},
    "smirk": {"tempo": -0.15, "head": -0.1},
    "doubt": {"tempo": -0.15, "head": -0.1},
    "tired": {"tempo": -0.7, "head": -0.4, "brows": -0.5, "gaze": -0.2, "mouth": -0.15, "blinks": 0.3, "pitch": 0.05},
    "pain": {"tempo": 0.1, "head": -0.1, "blinks": 0.5},
    "bored": {"tempo": -0.6, "head": -0.45, "brows": -0.6, "mouth": -0.15, "gaze": 0.2},
    "calm": {"tempo": -0.3, "head": -0.4, "brows": -0.4, "gaze": -0.3},
    "proud": {"tempo": -0.15, "head": 0.1},
    "shy": {"tempo": -0.2, "head": -0.25, "gaze": 0.3, "mouth": -0.1, "blinks": 0.3},
    "thinking": {"tempo": -0.35, "head": -0.2, "gaze": 0.4},
}
# How far each concept takes away the smile of the portrait, and from how much of a smile that is asked as well it takes
# less, and nothing.
UNSMILING = {
    "sad": 1.0, "angry": 1.0, "worried": 1.0, "afraid": 1.0, "disgust": 1.0, "pain": 1.0, "bored": 1.0, "pout": 1.0,
    "doubt": 0.75, "tired": 0.75, "brows_down": 0.75, "calm": 0.75, "thinking": 0.5, "surprised": 0.5,
}  # fmt: skip
SMILES_TOO = (0.2, 0.5)
EXCITED = {"tempo": 0.5, "head": 0.6, "brows": 0.7, "mouth": 0.2, "gaze": 0.1}
SLUGGISH = {"tempo": -0.7, "head": -0.3, "brows": -0.3, "mouth": -0.1}

# The mood of an excited person is read as a smile; these words say how that person moves.
WORDS = {
    word: changes
    for changes, words in (
        (EXCITED, "excited excitedly enthusiastic enthusiastically energetic energetically lively animated exuberant "
                  "exuberantly vivacious ecstatic thrilled overjoyed euphoric elated hyperactive frantic hectic"),
        (SLUGGISH, "sluggish sluggishly lethargic lethargically listless dreamy dreamily"),
    )
    for word in words.split()
}  # fmt: skip


def of_moods(amounts: Tensor) -> tuple[Tensor, Tensor]:
    """Return posture (B, T), in the order of ``EXPRESSION_NAMES``, and manner (B, M) of amounts of concepts (B, C)."""
    posture, manner = _tables()
    return amounts @ posture, amounts @ manner


def smile_taken(amounts: Tensor) -> Tensor:
    """Return what moods of amounts of concepts (B, C) take from a smiling portrait: (B, T) as ``EXPRESSION_NAMES``.

    Nobody is angry, sad or bored with the smile of a holiday picture. What asks for a smile as well, as "a sad smile"
    does, takes less.
    """
    taken = amounts.clamp(0, 1) @ torch.tensor([UNSMILING.get(name, 0.0) for name in CONCEPT_NAMES])
    smiling = amounts[:, [CONCEPT_NAMES.index("smile"), CONCEPT_NAMES.index("smirk")]].clamp_min(0).sum(1)
    share = taken.clamp_max(1) * ((SMILES_TOO[1] - smiling) / (SMILES_TOO[1] - SMILES_TOO[0])).clamp(0, 1)
    return -share[:, None] * expression_of(SMILE)


def of_words(text: str) -> Tensor:
    """Return the manner (M,) of the words of a text that name an energy; 0 if there are none."""
    found = [WORDS[word] for word in text.lower().split() if word in WORDS]
    strongest = found[0] if found else {}
    return torch.tensor([strongest.get(name, 0.0) for name in MANNER_NAMES])


@lru_cache(maxsize=1)
def _tables() -> tuple[Tensor, Tensor]:
    def table(names: tuple[str, ...]) -> Tensor:
        return torch.tensor([[MOODS.get(mood, {}).get(name, 0.0) for name in names] for mood in CONCEPT_NAMES])

    return table(EXPRESSION_NAMES), table(MANNER_NAMES)
