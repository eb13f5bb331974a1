"""Animating where memory may run out: once more with fewer frames at a time, and then a sentence."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import SettingsError
from ..memory.shortage import is_shortage, release
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..sampling.settings import usual_settings
from ..types import Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Checkpoint, Output

if TYPE_CHECKING:
    from .load import AnyPipeline

log = logging.getLogger(__name__)


def animate_within_memory(
    pipeline: "AnyPipeline",
    identity: Identity,
    speech: Speech,
    style: Style | None = None,
    motion: MotionTrack | None = None,
    settings: SamplingSettings | None = None,
    output: Output = "full",
    progress: ProgressCallback = ignore_progress,
    checkpoint: Checkpoint = FROM_THE_START,
) -> Iterator[Tensor]:
    """As ``pipeline.animate``. If memory runs out before the first frames, begin again with half as many at a time.

    A warning says so, and such a run cannot be resumed. Raises SettingsError if that needs too much memory as well, or
    if memory runs out later: with other windows, the frames would not fit those before.
    """
    settings = settings or usual_settings(pipeline.config)

    def begin(settings: SamplingSettings, checkpoint: Checkpoint) -> Iterator[Tensor]:
        return pipeline.animate(identity, speech, style, motion, settings, output, progress, checkpoint)

    def frames(chunks: Iterator[Tensor]) -> Iterator[Tensor]:
        begun = bool(checkpoint.start)
        try:
            for chunk in chunks:
                begun = True
                yield chunk
            return
        except Exception as error:
            if not is_shortage(error):
                raise
        # Outside of the handler, whose error holds what has been computed.
        fewer = halved(settings)
        if begun or fewer == settings:
            raise SettingsError(_sentence(settings))
        del chunks
        release()
        log.warning(
            "The memory was not enough for %s: beginning again with windows of %d frames, %d of them in a piece.",
            _at_a_time(settings),
            fewer.window,
            fewer.chunk,
        )
        try:
            yield from begin(fewer, FROM_THE_START)
            return
        except Exception as error:
            if not is_shortage(error):
                raise
        raise SettingsError(_sentence(fewer))

    return frames(begin(settings, checkpoint))


def halved(settings: SamplingSettings) -> SamplingSettings:
    """Return settings with half as many frames at a time, or the same ones where it is one already."""
    window = max(settings.window // 2, 1)
    return replace(
        settings, window=window, overlap=min(settings.overlap, window // 2), chunk=max(settings.chunk // 2, 1)
    )


def _at_a_time(settings: SamplingSettings) -> str:
    return f"windows of {settings.window} frames, {settings.chunk} of them in a piece"


def _sentence(settings: SamplingSettings) -> str:
    return (
        f"The memory was not enough for {_at_a_time(settings)}: choose a smaller window, use a smaller portrait, or "
        "close other programs."
    )
