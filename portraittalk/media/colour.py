"""Between the RGB of pictures and the YUV of films, without the shifts that the scaler's fast paths make."""

import av
import numpy as np

_BT709 = 1  # of ITU-T H.273, for the matrix, the primaries and the transfer alike
_LIMITED_RANGE = 1
# swscale's flags bicubic, full horizontal chroma interpolation, accurate rounding: without the second a picture is read
# about two levels too dark. Older PyAV does not name them.
_ACCURATE = 0x4 | 0x2000 | 0x40000


def to_yuv(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame as BT.709 in limited range, colour at half the resolution."""
    return frame.reformat(
        format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE, interpolation=_ACCURATE
    )


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """The frame's pixels (H, W, 3) uint8, by the matrix and range that it names."""
    return frame.to_ndarray(format="rgb24", interpolation=_ACCURATE)


def name_colours(codec: av.VideoCodecContext) -> None:
    """Say in the file what ``to_yuv`` makes, or players guess by the picture's size."""
    codec.color_range = _LIMITED_RANGE
    codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
