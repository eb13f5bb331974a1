"""The 256 colours of a GIF, the same in all frames, and the pattern in which they stand for others.

What stands still in the frames so stands still in the file: with a palette for each frame, or errors that are diffused
from pixel to pixel, walls crawl and files are three times as large. The palette is made from the first frames, most of
all from what moves in them, and anew where colours come that it does not have, as after a cut.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext

FRAMES = 36  # from which the palette is made: a mouth that speaks has opened by then
BYTES = 64 << 20  # of pixels that are kept until then, at most
PALETTE = "stats_mode=diff:reserve_transparent=1"  # pixels that do not change are left transparent
DITHER = "dither=bayer:bayer_scale=3"  # depends on the pixel alone
CELLS = 48  # along the longer side, whose mean colours are compared
WORSE, FURTHER = 1.15, 0.25  # factor, and levels of 255, by which colours are further off than at first in a new scene


class GifPalette:
    """Converts frames of one size to a palette. size: (height, width)."""

    def __init__(self, size: tuple[int, int], fps: Fraction) -> None:
        self._size, self._time_base = size, 1 / fps
        self._at_first = max(min(FRAMES, BYTES // (3 * size[0] * size[1])), 1)
        self._kept: list[av.VideoFrame] = []
        self._palette: _Palette | None = None

    def add(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield the converted frames that are ready after a frame in RGB: none of the first until all of them are."""
        if self._palette is not None:
            yield self._converted(frame)
            return
        self._kept.append(frame)
        if len(self._kept) == self._at_first:
            yield from self.finish()

    def finish(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that are still kept."""
        kept, self._kept = self._kept, []
        if kept:
            self._palette = _Palette(kept, self._size, self._time_base)
        for frame in kept:
            yield self._converted(frame)

    def _converted(self, frame: av.VideoFrame) -> av.VideoFrame:
        assert self._palette is not None
        found = self._palette(frame)
        if not self._palette.fits(frame, found):
            self._palette = _Palette([frame], self._size, self._time_base)
            found = self._palette(frame)
        return found


class _Palette:
    """A palette made from some frames."""

    def __init__(self, frames: list[av.VideoFrame], size: tuple[int, int], time_base: Fraction) -> None:
        self._time_base = time_base
        colours = self._of(frames, size)
        self._graph = Graph()
        self._input = self._source(self._graph, size, "rgb24")
        known = self._source(self._graph, (colours.height, colours.width), colours.format.name)
        use, sink = self._graph.add("paletteuse", DITHER), self._graph.add("buffersink")
        self._input.link_to(use, 0, 0)
        known.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()
        colours.pts, colours.time_base = frames[0].pts, time_base
        known.push(colours)
        known.push(None)
        self._usual = self._off(frames[0], self(frames[0]))

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame in RGB in the palette's colours."""
        self._input.push(frame)
        return self._graph.vpull()

    def fits(self, frame: av.VideoFrame, found: av.VideoFrame) -> bool:
        """Return whether the colours of a converted frame are about as near as those of the first one."""
        return self._off(frame, found) <= WORSE * self._usual + FURTHER

    def _off(self, frame: av.VideoFrame, found: av.VideoFrame) -> float:
        """Return how far the colours of a converted frame are off, in levels of 255."""
        longer = max(frame.width, frame.height, CELLS)
        size = [max(side * CELLS // longer, 1) for side in (frame.width, frame.height)]
        one, other = (
            picture.reformat(size[0], size[1], "rgb24", interpolation="AREA").to_ndarray().astype(np.float32)
            for picture in (frame, found)
        )
        return float(np.sqrt(np.square(one - other).mean()))

    def _of(self, frames: list[av.VideoFrame], size: tuple[int, int]) -> av.VideoFrame:
        graph = Graph()
        source, palette, sink = (
            self._source(graph, size, "rgb24"),
            graph.add("palettegen", PALETTE),
            graph.add("buffersink"),
        )
        source.link_to(palette)
        palette.link_to(sink)
        graph.configure()
        for frame in frames:
            source.push(frame)
        source.push(None)
        return graph.vpull()

    def _source(self, graph: Graph, size: tuple[int, int], pixels: str) -> FilterContext:
        height, width = size
        return graph.add_buffer(width=width, height=height, format=av.VideoFormat(pixels), time_base=self._time_base)
