"""GIFs: one palette, made from the first frames, in which what stands still does so."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from portraittalk.media.gif_palette import FRAMES, GifPalette
from portraittalk.media.video import write_video

SIDE = 96


def moving(count: int) -> torch.Tensor:
    """A square of many colours that moves before a wall of others, (count, 3, SIDE, SIDE)."""
    generator = torch.Generator().manual_seed(0)
    wall = torch.rand(3, SIDE, SIDE, generator=generator) * 0.3 + torch.linspace(0, 0.7, SIDE)
    frames = wall.expand(count, -1, -1, -1).clone()
    square = torch.rand(3, 24, 24, generator=generator)
    for number, frame in enumerate(frames):
        at = 8 + number % 40
        frame[:, 36:60, at : at + 24] = square
    return frames


def test_what_stands_still_does_so_in_the_file(tmp_path: Path, frames_of) -> None:
    write_video([moving(2 * FRAMES)], tmp_path / "a.gif", 25)
    shown = frames_of(tmp_path / "a.gif")
    still = torch.as_tensor(shown).float()[:, :, :30]
    assert torch.equal(still[1:], still[:-1])


@pytest.mark.parametrize("count", [1, 2, FRAMES - 1, FRAMES, FRAMES + 1])
def test_no_frame_is_lost(tmp_path: Path, frames_of, count: int) -> None:
    frames = moving(count)
    assert write_video([frames], tmp_path / "a.gif", 25).frames == count
    shown = torch.as_tensor(frames_of(tmp_path / "a.gif")).float()
    assert len(shown) == count
    assert (shown - frames.to(shown)).mean((2, 3)).abs().max() < 0.05


def test_large_frames_are_not_kept() -> None:
    import av
    import numpy as np

    palette = GifPalette((4000, 6000), Fraction(25))
    frame = av.VideoFrame.from_ndarray(np.zeros((4000, 6000, 3), np.uint8), format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    assert len(list(palette.add(frame))) == 1


def test_colours_that_come_later_are_seen(tmp_path: Path, frames_of) -> None:
    colours = torch.linspace(0, 1, SIDE).expand(3, SIDE, SIDE)
    red, blue = (colours * torch.tensor(tint)[:, None, None] for tint in ((1.0, 0.2, 0.1), (0.1, 0.3, 1.0)))
    frames = torch.stack([red] * (FRAMES + 3) + [blue] * 3)
    write_video([frames], tmp_path / "a.gif", 25)
    shown = torch.as_tensor(frames_of(tmp_path / "a.gif")).float()
    assert (shown - frames).abs().mean((1, 2, 3)).max() < 0.02
