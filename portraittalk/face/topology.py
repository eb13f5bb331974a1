"""Landmark indices of facial features in MediaPipe's face mesh of 478 points.

"left" and "right" are the subject's, as in the ARKit names: the subject's left eye is on the right of the picture.
Closed contours do not repeat their first point; the halves of lips and eyes share their corners.
"""

LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
EYE_RIGHT_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
EYE_RIGHT_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
EYE_LEFT_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
EYE_LEFT_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
# The second ring around each eye: from the crease of the upper lid to below the lower lid.
EYE_RIGHT_RING = (130, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25)
EYE_LEFT_RING = (359, 467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255)
BROW_RIGHT_UPPER = (70, 63, 105, 66, 107)
BROW_RIGHT_LOWER = (46, 53, 52, 65, 55)
BROW_LEFT_UPPER = (300, 293, 334, 296, 336)
BROW_LEFT_LOWER = (276, 283, 282, 295, 285)
IRIS_RIGHT = (468, 469, 470, 471, 472)  # centre first, then four points on the edge
IRIS_LEFT = (473, 474, 475, 476, 477)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4)
NOSE_BASE_LINE = (129, 98, 97, 2, 326, 327, 358)
# Contour around the region that speech moves: nose base, cheeks beside the mouth, jaw.
LOWER_FACE = (2, 326, 423, 425, 411, 435, 288, 397, 365, 379, 378, 400, 377,
              152, 148, 176, 149, 150, 136, 172, 58, 215, 187, 205, 203, 97)  # fmt: skip


def contour(upper: tuple[int, ...], lower: tuple[int, ...]) -> tuple[int, ...]:
    """Join two halves that share their corners into a closed contour, along the upper half and back along the lower."""
    return upper + lower[-2:0:-1]


LIPS_OUTER = contour(LIPS_OUTER_UPPER, LIPS_OUTER_LOWER)
LIPS_INNER = contour(LIPS_INNER_UPPER, LIPS_INNER_LOWER)
# The two rings between them.
LIPS_BETWEEN = (
    76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77,
    62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96,
)  # fmt: skip
EYE_RIGHT = contour(EYE_RIGHT_UPPER, EYE_RIGHT_LOWER)
EYE_LEFT = contour(EYE_LEFT_UPPER, EYE_LEFT_LOWER)
