"""What plain descriptions ask for: a rule for each set of words, from which ``text.grammar`` chooses.

A rule turns the words of one piece ("left eye slightly closed") into coefficients, angles and ways of moving. Left and
right are those of the picture.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ..arkit import EXPRESSION_NAMES, MANNER_NAMES
from .lexicon import RULE_WORDS
from .plain import Piece, Plain, Rule

Target = dict[str, float]  # names as in training/text/captions.json: "_" stands for both sides

LID_OPEN, LID_SHUT = 0.25, 0.37  # eyeBlink of an open eye, and what is added for a closed one
# Coefficients that a denial takes from the portrait. Those of speech are left alone: "mouth not open" may speak.
REMOVABLE = ("mouthSmile", "mouthFrown", "mouthDimple", "brow", "cheekSquint", "eyeWide", "eyeSquint", "noseSneer")
YAW, PITCH, ROLL, SIDEWARDS, UP_OR_DOWN = 0.25, 0.2, 0.2, 0.35, 0.3  # radians of head and gaze


def rule_for(piece: Piece) -> Rule | None:
    """Return the rule for exactly the words of a piece, without those that often say nothing if need be."""
    words = _without_repetition(frozenset(piece.words))
    if words <= {"move"}:
        return (_still if piece.denied else _moving()) if piece.tempo or (words and piece.denied) else None
    sides = frozenset({"sided"}) if piece.sides else frozenset[str]()
    for extra in dict.fromkeys((sides, frozenset[str]())):
        for left_out in LEFT_OUT:
            if left_out <= words and (words - left_out) | extra in RULES:
                return RULES[(words - left_out) | extra]
    return None


def _without_repetition(words: frozenset[str]) -> frozenset[str]:
    """Return words without parts that others imply: of "corners of the mouth", "eyelids", "eyes looking"."""
    for owner, implied in (("corner", {"mouth", "lip"}), ("lid", {"eye"}), ("mouth", {"lip"})):
        words -= implied if owner in words else set()
    return words - {"eye"} if words & {"look", "stare"} else words


def expression_of(target: Target, sides: tuple[str, ...] = ("left", "right"), own: bool = False) -> Tensor:
    """Return the expression (T,) of a target on the given sides of the picture, or of the person (``own``)."""
    vector = torch.zeros(len(EXPRESSION_NAMES))
    for name, value in target.items():
        if not name.endswith("_"):
            vector[EXPRESSION_NAMES.index(name)] = value
            continue
        for side in sides:
            named = "Left" if (side == "left") == own else "Right"
            vector[EXPRESSION_NAMES.index(name[:-1] + named)] = value
    return vector


def _manner(**changes: float) -> Tensor:
    return torch.tensor([changes.get(name, 0.0) for name in MANNER_NAMES])


def _shape(target: Target, wide: float = 1.25) -> Rule:
    """Move the face to a target, on one side if the description names one. wide: factor of the strength "wide"."""

    def rule(piece: Piece, weight: float, negative: bool) -> Plain:
        sides = piece.sides or (("right",) if piece.one else ("left", "right"))
        moved = expression_of(target, sides, piece.own)
        factor = piece.without("wide", "widely").strength
        if {"wide", "widely"} & set(piece.strengths):
            factor *= wide
        if piece.denied or negative:
            sign = {(True, False): 1, (False, True): -1}.get((piece.denied, negative), 0)
            return Plain(weight * sign * _removed(moved))
        return Plain(weight * factor * moved, _manner(tempo=weight * piece.tempo))

    return rule


def _removed(vector: Tensor) -> Tensor:
    """Return what takes the expression of a vector away from the portrait."""
    removable = torch.tensor([name.startswith(REMOVABLE) for name in EXPRESSION_NAMES])
    return -vector.abs() * removable


def _shut(share: float = 1.0, opening: bool = False) -> Rule:
    """Close the lids. opening: the strength says how far they stay open."""

    def rule(piece: Piece, weight: float, negative: bool) -> Plain:
        strength = piece.strength
        asked = (1 - strength if strength < 1 else 0.0) if opening else share * min(strength, 1.0)
        if piece.denied or not asked:
            return Plain()
        sides = piece.sides or (("right",) if piece.one else ("left", "right"))
        target = {"eyeBlink_": LID_OPEN + LID_SHUT * asked * weight if weight > 0 else 0.0}
        if strength > 1.1:
            target |= {"eyeSquint_": 0.4 * weight, "cheekSquint_": 0.3 * weight}
        return Plain(expression_of(target, sides, piece.own))

    return rule


def _towards(axis: str, sidewards: float, upright: str, up_down: float) -> Rule:
    """Turn head or eyes to sides, and up or down, whichever the description names."""

    def rule(piece: Piece, weight: float, negative: bool) -> Plain:
        if piece.denied or negative:
            return Plain()
        target: Target = {}
        if piece.sides:
            target[axis] = sidewards if piece.sides[0] == "right" else -sidewards
        elif {"aside", "away"} & set(piece.words):
            target[axis] = -sidewards
        for word, sign in (("up", -1), ("roll", -1), ("down", 1), ("droop", 1), ("back", -1), ("forward", 1)):
            if word in piece.words and not (word == "forward" and axis == "right"):
                target[upright] = sign * up_down
        return Plain(weight * piece.strength * expression_of(target), _manner(tempo=weight * piece.tempo))

    return rule


def _leaning(piece: Piece, weight: float, negative: bool) -> Plain:
    """Tilt the head to a side, backwards or forwards."""
    if piece.denied or negative:
        return Plain()
    if {"up", "down", "back", "forward"} & set(piece.words):
        return _towards("yaw", YAW, "pitch", PITCH)(replace(piece, sides=()), weight, negative)
    left = bool(piece.sides) and piece.sides[0] == "left"
    return Plain(weight * piece.strength * expression_of({"roll": -ROLL if left else ROLL}))


def _asided(target_left: Target, target_right: Target) -> Rule:
    """Move mouth or jaw to a side of the picture."""

    def rule(piece: Piece, weight: float, negative: bool) -> Plain:
        if piece.denied or negative:
            return Plain()
        right = bool(piece.sides) and piece.sides[0] == "right"
        return Plain(weight * piece.strength * expression_of(target_right if right else target_left))

    return rule


def _moving(**changes: float) -> Rule:
    """Change how one moves."""

    def rule(piece: Piece, weight: float, negative: bool) -> Plain:
        if piece.denied or negative:
            return Plain()
        return Plain(
            manner=weight * _manner(**{name: value * piece.strength for name, value in changes.items()})
            + weight * _manner(tempo=piece.tempo)
        )

    return rule


def _blinking(piece: Piece, weight: float, negative: bool) -> Plain:
    if piece.sides or piece.one:
        return _winking(piece, weight, negative)
    if piece.denied:
        return Plain(manner=_manner(blinks=-weight))
    more = piece.often or (2.0 if piece.tempo > 0 else 0.0)
    asked = 1.0 + more if more >= 0 else more
    return Plain(manner=_manner(blinks=weight * asked))


def _looking_at_camera(piece: Piece, weight: float, negative: bool) -> Plain:
    return Plain(weight * expression_of({"right": -SIDEWARDS})) if piece.denied and not negative else Plain()


def _still(piece: Piece, weight: float, negative: bool) -> Plain:
    return Plain(manner=_manner(head=-0.9 * weight))


def _moving_head(piece: Piece, weight: float, negative: bool) -> Plain:
    if piece.denied:
        return _still(piece, weight, negative)
    return Plain(manner=_manner(head=weight * (0.6 + piece.often), tempo=weight * piece.tempo))


def _nothing(piece: Piece, weight: float, negative: bool) -> Plain:
    """What the portrait shows by itself."""
    return Plain()


def _meeting(piece: Piece, weight: float, negative: bool) -> Plain:
    """Lips that meet in silence, even where the portrait's are apart. A denied one parts them."""
    if piece.denied and not negative:
        return Plain(weight * expression_of(MOUTH_OPEN) * 0.45)
    return Plain(manner=_manner(rest=-weight)) if not negative else Plain()


MOUTH_OPEN = {"jawOpen": 0.35}
BROAD = 1.2  # strength of a smile from which it is a broad one
SMILE = {"mouthSmile_": 0.8, "cheekSquint_": 0.4, "mouthDimple_": 0.15}
_TEETH = {"mouthUpperUp_": 0.5, "mouthLowerDown_": 0.25}

_open, _parted = _shape(MOUTH_OPEN, wide=1.75), _shape({"jawOpen": 0.14, "mouthLowerDown_": 0.06})
_broad = _shape({**SMILE, "cheekSquint_": 0.56, "eyeSquint_": 0.24, "mouthUpperUp_": 0.24, "mouthLowerDown_": 0.12})
_grin = _shape(
    {
        "mouthSmile_": 0.95, "cheekSquint_": 0.6, "mouthDimple_": 0.15, "eyeSquint_": 0.2, "mouthUpperUp_": 0.2,
        "mouthLowerDown_": 0.1,
    }
)  # fmt: skip
_toothy = _shape({**SMILE, "mouthUpperUp_": 0.4, "mouthLowerDown_": 0.15})
_teeth = _shape(_TEETH)
_brows_up, _brows_down = _shape({"browInnerUp": 0.9, "browOuterUp_": 0.9}), _shape({"browDown_": 0.9})
_one_brow_up = _shape({"browOuterUp_": 0.9})
_wide = _shape({"eyeWide_": 0.8})
_squint = _shape({"eyeSquint_": 0.9, "cheekSquint_": 0.3})
_wink = _shape({"eyeBlink_": 0.64, "mouthSmile_": 0.4, "cheekSquint_": 0.4})
_pucker, _pout = _shape({"mouthPucker": 0.85}), _shape({"mouthPucker": 0.3, "mouthShrugLower": 0.8})
_pressed = _shape({"mouthRollLower": 0.55, "mouthRollUpper": 0.55})
_corners_up, _corners_down = _shape({"mouthSmile_": 0.75}), _shape({"mouthFrown_": 0.8})
_frown = _shape({"browDown_": 0.9, "mouthFrown_": 0.25})
_gaze, _turn = _towards("right", SIDEWARDS, "down", UP_OR_DOWN), _towards("yaw", YAW, "pitch", PITCH)
_mouth_aside = _asided({"mouthRight": 0.55}, {"mouthLeft": 0.55})
_jaw_aside = _asided({"jawRight": 0.9}, {"jawLeft": 0.9})
_nod, _shake, _sway = _moving(nod=0.09), _moving(shake=0.12), _moving(sway=0.14)


def _smile(piece: Piece, weight: float, negative: bool) -> Plain:
    """A wide smile narrows the eyes and shows the upper teeth, unless the lips are closed."""
    is_broad = piece.strength >= BROAD and not {"closed", "press"} & set(piece.words)
    rule = _broad if is_broad and not piece.denied and not negative else _shape(SMILE)
    return rule(piece, weight, negative)


def _one_or_both_brows_up(piece: Piece, weight: float, negative: bool) -> Plain:
    rule = _one_brow_up if piece.sides or piece.one else _brows_up
    return rule(piece, weight, negative)


def _one_sided_smile(piece: Piece, weight: float, negative: bool) -> Plain:
    rule = _shape({"mouthSmile_": 0.8, "mouthDimple_": 0.2, "cheekSquint_": 0.3})
    return rule(piece if piece.sides else replace(piece, one=True), weight, negative)


def _winking(piece: Piece, weight: float, negative: bool) -> Plain:
    return _wink(piece if piece.sides else replace(piece, one=True), weight, negative)


def _open_eyes(piece: Piece, weight: float, negative: bool) -> Plain:
    """Eyes wide open, half open (half closed), not open (closed), or simply open, as the portrait's are."""
    fully = {"fully", "completely"} & set(piece.strengths)
    if piece.strength > 1 or "wider" in piece.strengths or (fully and not piece.denied):
        return _wide(piece.without("wide", "widely", "wider"), weight, negative)
    if piece.denied and not negative:
        return _shut(0.5 if fully else 1.0)(replace(piece, denied=False, strengths=()), weight, negative)
    return _shut(opening=True)(piece, weight, negative)


def _wide_eyes(piece: Piece, weight: float, negative: bool) -> Plain:
    return _wide(piece.without("wide", "widely", "big", "large", "huge"), weight, negative)


EFFECTS: dict[str, Rule] = {
    "lids shut": _shut(),
    "lids half shut": _shut(0.5),
    "eyes open": _open_eyes,
    "squint": _squint,
    "blink": _blinking,
    "wink": _winking,
    "stare": _shape({"eyeWide_": 0.4}),
    "brows up": _one_or_both_brows_up,
    "inner brows up": _shape({"browInnerUp": 0.95}),
    "outer brows up": _one_brow_up,
    "brows down": _brows_down,
    "frown": _frown,
    "corners down": _corners_down,
    "mouth open": _open,
    "lips parted": _parted,
    "lips meet": _meeting,
    "lips pressed": _pressed,
    "lip bitten": _shape({"mouthRollLower": 0.75}),
    "teeth": _teeth,
    "smile": _smile,
    "grin": _grin,
    "laugh": _shape(
        {"mouthSmile_": 0.95, "cheekSquint_": 0.6, "eyeSquint_": 0.3, "mouthUpperUp_": 0.25, "jawOpen": 0.1}
    ),
    "toothy smile": _toothy,
    "open smile": _shape({"mouthSmile_": 0.85, "cheekSquint_": 0.4, "jawOpen": 0.25}),
    "one-sided smile": _one_sided_smile,
    "smiling eyes": _shape({"eyeSquint_": 0.5, "cheekSquint_": 0.6, "mouthSmile_": 0.25}),
    "corners up": _corners_up,
    "pucker": _pucker,
    "pout": _pout,
    "rounded lips": _shape({"mouthFunnel": 0.5, "mouthPucker": 0.5, "jawOpen": 0.2}),
    "stretched lips": _shape({"mouthStretch_": 0.7}),
    "mouth to a side": _mouth_aside,
    "jaw to a side": _jaw_aside,
    "jaw forward": _shape({"jawForward": 0.9}),
    "puffed cheeks": _shape({"cheekPuff": 1.0}),
    "cheeks up": _shape({"cheekSquint_": 0.8, "mouthSmile_": 0.2}),
    "wrinkled nose": _shape({"noseSneer_": 0.85}),
    "gaze": _gaze,
    "gaze to the camera": _looking_at_camera,
    "nothing": _nothing,
    "turn": _turn,
    "tilt": _leaning,
    "nod": _nod,
    "shake": _shake,
    "sway": _sway,
    "wide eyes": _wide_eyes,
    "still head": _still,
    "moving head": _moving_head,
}
RULES = {frozenset(words.split()): EFFECTS[name] for name, sets in RULE_WORDS.items() for words in sets}
# Sets of words that may be left out if nothing else fits: "face" of "smiling face", "move" of "mouth pulled up".
LEFT_OUT = tuple(
    frozenset(words.split()) for words in ("", "move", "face", "turn", "show", "out", "forward", "move turn", "still")
)
ALONE = {"smile", "grin", "laugh", "blink", "wink", "nod", "look", "frown", "pout", "shake", "stare"}
DIRECTIONS = {"up", "down", "back", "forward", "aside", "away", "camera"}
