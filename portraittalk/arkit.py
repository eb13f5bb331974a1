"""Names of Apple ARKit's 52 expression coefficients: the order of every motion track, blendshape vector and basis."""

ARKIT_NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}

# Components of a prompted expression: the ARKit coefficients, then gaze (right, down) and head rotation in radians.
EXPRESSION_NAMES = (*ARKIT_NAMES, "right", "down", "pitch", "yaw", "roll")

# How a prompt changes the way one moves, each 0 for no change. tempo: in octaves, -1 is half as fast. head, brows,
# gaze, mouth, blinks: relative change of the amplitude of motion made from speech, and of the rate of blinks; -1 is
# none. rest: relative change of how much of the portrait's open mouth is kept in silence. nod, shake, sway: amplitude
# in radians of nodding, of shaking the head, and of tilting it from side to side.
MANNER_NAMES = ("tempo", "head", "brows", "gaze", "mouth", "blinks", "rest", "nod", "shake", "sway")
GESTURES = slice(MANNER_NAMES.index("nod"), None)
