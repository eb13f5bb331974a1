"""Evaluation of looks on a talking portrait: flicker, preserved identity, and similarity to the look's formula.

Every look is applied to the same frames, so its figures can be compared with those of the video without a prompt.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...compositing.compose import CropData
from ...compositing.painter import Painter, painter_for
from ...face.detect import FaceProvider
from ...face.select import find_face
from ...media.audio import Audio
from ...media.image import write_png
from ...metrics.pixels import psnr, ssim
from ...metrics.recognition import FaceRecognition
from ...metrics.steady import flicker
from ...output_files import make_folder
from ...pipelines.load import AnyPipeline
from ...sampling.settings import usual_settings
from ...text.networks import load_look_networks
from ...types import Identity, Style
from .formulas import LOOKS, render_look

logger = logging.getLogger(__name__)

FPS = 25.0
LOOKED_AT = 3  # evenly spaced frames whose faces are compared


@dataclass(frozen=True)
class LookFigures:
    """flicker: of the face crop, in 1/255 (``metrics.steady``). ratio: flicker relative to the video without a prompt.
    outside: maximum change over time outside the crop. likeness: cosine similarity of dlib's embeddings to those of the
    same frames without a prompt, None without dlib. psnr (dB), ssim: the portrait's crop against the formula's."""

    look: str
    flicker: float
    ratio: float
    outside: float
    likeness: float | None
    psnr: float
    ssim: float


@torch.no_grad()
def check_looks(
    model: AnyPipeline,
    portrait: Tensor,
    audio: Audio,
    provider: FaceProvider | None = None,
    keep: Callable[[str, Tensor], None] = lambda look, frames: None,
) -> Iterator[LookFigures]:
    """Yield the figures of every look. portrait: (3, H, W) in 0..1. keep: called with each look and its frames
    (F, 3, H, W)."""
    identity = model.encode_identity([portrait], provider=provider)
    speech = model.encode_speech(audio, FPS)
    settings = usual_settings(model.config)
    motion = model.make_motion(speech, settings.seed)
    x0, y0, x1, y1 = CropData(identity.portrait, identity.crop).box
    everywhere = torch.ones(1, y1 - y0, x1 - x0)

    def frames_of(style: Style) -> Tensor:
        return torch.cat(list(model.animate(identity, speech, style, motion, settings)))

    unprompted = frames_of(Style())
    keep("", unprompted)
    unprompted_flicker = flicker(unprompted[:, :, y0:y1, x0:x1], everywhere)
    embed_face = FaceRecognition() if FaceRecognition.installed() else None
    indices = torch.linspace(0, len(unprompted) - 1, LOOKED_AT).round().int().tolist()
    faces = [find_face(unprompted[index], provider=provider) for index in indices]
    for name in LOOKS:
        style = _style(name)
        styled = frames_of(style)
        keep(name, styled)
        styled_flicker = flicker(styled[:, :, y0:y1, x0:x1], everywhere)
        changes = (styled - styled[:1]).abs()
        changes[:, :, y0:y1, x0:x1] = 0
        likeness = None
        if embed_face is not None:
            pairs = [
                F.cosine_similarity(embed_face(unprompted[k], face), embed_face(styled[k], face), dim=0)
                for k, face in zip(indices, faces, strict=True)
            ]
            likeness = torch.stack(pairs).mean().item()
        painter = painter_for(identity.portrait, identity.crop, style.look, 1.0, model.device)
        assert painter is not None
        expected, painted = (
            _by_formula(name, identity, painter)[..., y0:y1, x0:x1],
            painter.portrait[None, :, y0:y1, x0:x1],
        )
        similarity = psnr(painted, expected), ssim(painted, expected)
        figures = LookFigures(
            name, styled_flicker, styled_flicker / unprompted_flicker, changes.max().item(), likeness, *similarity
        )
        logger.info("%s", figures)
        yield figures


def _style(name: str) -> Style:
    """Return the style that applies one look at full weight, bypassing the text reader."""
    names = load_look_networks().config.looks
    return Style(name, look=torch.tensor([float(each == name) for each in names]))


def _by_formula(name: str, identity: Identity, painter: Painter) -> Tensor:
    """Render the portrait (1, 3, H, W) in a look as in training: on the same paper, with the same stroke width."""
    height, width = identity.portrait.shape[-2:]
    paper = F.interpolate(painter.paper, (height, width), mode="bicubic")
    return render_look(name, identity.portrait[None], paper, 1 / painter.scale)


class Sheet:
    """A contact sheet with one row of frames per video."""

    def __init__(self, size: int = 320, frames: int = 5) -> None:
        self.size, self.frames = size, frames
        self.rows: list[Tensor] = []

    def add(self, name: str, frames: Tensor) -> None:
        indices = torch.linspace(0, len(frames) - 1, self.frames).round().int().tolist()
        scale = self.size / max(frames.shape[-2:])
        small = F.interpolate(frames[indices], scale_factor=scale, mode="bilinear", antialias=True)
        self.rows.append(torch.cat(list(small), -1))

    def save(self, path: Path) -> None:
        make_folder(path.parent)
        write_png(torch.cat(self.rows, -2), path, comment=None)


def looks_table(figures: list[LookFigures]) -> str:
    """Return a Markdown table with each look's mean over the portraits."""
    lines = [
        "| look | flicker, times unprompted | likeness to unprompted | PSNR, dB | SSIM |",
        "|---|---|---|---|---|",
    ]
    for name in LOOKS:
        found = [row for row in figures if row.look == name]
        known = [row.likeness for row in found if row.likeness is not None]
        likeness = f"{sum(known) / len(known):.3f}" if known else "not measured"
        ratio, near, alike = (sum(getattr(row, key) for row in found) / len(found) for key in ("ratio", "psnr", "ssim"))
        lines.append(f"| {name} | {ratio:.2f} | {likeness} | {near:.1f} | {alike:.2f} |")
    largest_change = max(row.outside for row in figures)
    return "\n".join([*lines, f"\nOutside the face crop, pixels change by at most {largest_change:.3f} over a video."])
