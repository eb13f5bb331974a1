"""RGB to YUV conversion and back for video frames, without the colour shifts of swscale's fast paths."""

import av
import numpy as np

_BT709 = 1  # ITU-T H.273 code point: the same for matrix, primaries and transfer
_BT601 = 5  # of the matrix
_LIMITED_RANGE, _FULL_RANGE = 1, 2
# swscale flags: bicubic, full horizontal chroma interpolation, accurate rounding. Without the second, frames are read
# about two levels too dark. Older PyAV versions have no names for them.
_FULL_CHROMA = 0x4 | 0x2000
_ACCURATE = _FULL_CHROMA | 0x40000


def planar_frame(pixels: np.ndarray) -> av.VideoFrame:
    """Return a frame (H, W, 3) uint8 as planes of RGB.

    PyAV's ``from_ndarray`` does the same, but takes eight times as long if ``pixels`` is a view of planes.
    """
    height, width = pixels.shape[:2]
    frame = av.VideoFrame(width, height, "gbrp")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # type: ignore[call-overload]  # a buffer
        rows[:, :width] = pixels[..., channel]
    return frame


def to_yuv(frame: av.VideoFrame) -> av.VideoFrame:
    """Return the frame as BT.709 yuv420p in limited range.

    Accurate rounding would take a third longer. Without it luma is the same, and a tenth of the chroma one level lower.
    """
    return frame.reformat(
        format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE, interpolation=_FULL_CHROMA
    )


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Return the frame's pixels (H, W, 3) uint8, converted with the matrix and range in its metadata."""
    # RGB has no matrix, but older PyAV ignores the frame's where that of the target is the same.
    other = _BT601 if frame.colorspace == _BT709 else _BT709
    shown = frame.reformat(
        format="rgb24",
        dst_colorspace=other,
        src_color_range=frame.color_range,
        dst_color_range=_FULL_RANGE,
        interpolation=_ACCURATE,
    )
    return shown.to_ndarray()


def name_colours(codec: av.VideoCodecContext) -> None:
    """Tag the stream with the colour space of ``to_yuv``; untagged, players guess it from the frame size."""
    codec.color_range = _LIMITED_RANGE
    codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
