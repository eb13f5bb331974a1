"""Whether the videos of a whole batch fit on the disk, told before the first one is made."""

from collections.abc import Iterable
from pathlib import Path

import av
from PIL import Image

from ...checks import LOWEST_FPS
from ...errors import MediaError
from ...media.source import open_media
from ...output_files import check_space
from ..run_costs import RunCosts
from .jobs import Job


def check_disk(jobs: Iterable[Job], folder: Path, costs: RunCosts) -> None:
    """Raise OutputError if the videos of all jobs need more disk than there is.

    Judged by the smallest video, for its pixels and length, that the model has made on this machine; jobs like none of
    these, or with files that cannot be read, count nothing. Only the headers of the files are read.
    """
    check_space(folder, round(sum(_disk(job, costs) for job in jobs)))


def _disk(job: Job, costs: RunCosts) -> float:
    options = job.options
    try:
        with Image.open(options.portraits[0]) as image:
            width, height = image.size
        with open_media(options.audio) as container:
            seconds = (container.duration or 0) / av.time_base
    except (MediaError, OSError, ValueError, Image.DecompressionBombError):
        return 0.0  # the job fails with its own sentence
    if options.preview is not None:
        seconds = min(seconds, options.preview)
    scale = min(options.max_size / max(width, height), 1.0)
    kind = options.out.suffix.lower().lstrip(".")
    frame = costs.least_size(options.model, kind, not options.no_paste_back, width * height * scale**2)
    return frame * seconds * max(options.fps, LOWEST_FPS) if seconds > 0 else 0.0
