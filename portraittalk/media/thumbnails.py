"""Small pictures of videos, read at a few moments without decoding what lies between."""

from pathlib import Path

import av
from PIL import Image, UnidentifiedImageError

from ..errors import MediaError
from .source import open_media


def thumbnails(path: Path, count: int, side: int) -> list[Image.Image]:
    """Return ``count`` frames at evenly spaced moments of a video, each fitted into a square of ``side`` pixels.

    Raises MediaError if the video cannot be read.
    """
    moments = [(2 * number + 1) / (2 * count) for number in range(count)]
    try:
        # FFmpeg cannot read animated webp.
        frame_at = _of_animation if path.suffix.lower() in (".gif", ".webp") else _of_movie
        pictures = [frame_at(path, moment) for moment in moments]
    except (av.FFmpegError, UnidentifiedImageError, EOFError, OSError) as error:
        raise MediaError(f"{path.name} cannot be read as a video: make it again.") from error
    for picture in pictures:
        picture.thumbnail((side, side))
    return pictures


def _of_movie(path: Path, moment: float) -> Image.Image:
    """Return the frame at a moment, in 0..1 of the video's duration; the last one before it where none follows."""
    with open_media(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path.name} has no pictures: give a video.")
        stream = container.streams.video[0]
        length = (container.duration or 0) / av.time_base
        wanted = moment * length
        container.seek(int(wanted * av.time_base))
        shown = None
        for frame in container.decode(stream):
            shown = frame
            if (frame.time or 0.0) >= wanted:
                break
        if shown is None:
            raise MediaError(f"{path.name} has no pictures: make it again.")
        return shown.to_image()


def _of_animation(path: Path, moment: float) -> Image.Image:
    with Image.open(path) as image:
        image.seek(int(moment * getattr(image, "n_frames", 1)))
        return image.convert("RGB")
