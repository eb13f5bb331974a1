"""The HTML report of a benchmark: figures, lip aperture curves, and frames of the generated and real videos.

The page is self-contained: curves as inline SVG, contact sheets as inline JPEG, no scripts and no external files.
"""

import base64
import io
from dataclasses import fields
from html import escape
from inspect import cleandoc
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..media.reader import read_video
from .dynamics import FPS
from .evaluate import Evaluation
from .figures import Figures, shown

COLUMNS = 10  # frames per contact sheet
TILE = 144  # tile side in pixels
PLOT = (900, 160)  # pixels
COLOURS = {"asked": "#8a8a8a", "found": "#c0392b", "real": "#2471a3"}
WORDS = {"asked": "motion track", "found": "generated video", "real": "real video"}
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; max-width: 1500px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0 }
td, th { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
img, svg { max-width: 100%; display: block; margin: .5em 0 }
.failure { color: #a00 }
.definitions { white-space: pre-wrap }
"""


def page(
    title: str,
    results: list[Evaluation],
    failures: dict[str, str],
    medians: dict[str, float | None],
    sets: tuple[str, ...] = (),
) -> str:
    """Return the HTML page. failures: error messages by subject name. sets: notes on all videos together."""
    parts = [f"<h1>{escape(title)}</h1>", figures_table([result.figures for result in results], medians)]
    parts += [f"<p>{escape(sentence)}</p>" for sentence in sets]
    parts += [f'<p class="failure"><b>{escape(name)}</b>: {escape(why)}</p>' for name, why in failures.items()]
    for result in results:
        parts.append(f"<h2>{escape(result.subject.name)}</h2>")
        parts.append(curves_svg(result.curves))
        parts.append(f'<img alt="frames of {escape(result.subject.name)}" src="{jpeg(contact_sheet(result))}">')
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def figures_table(rows: list[Figures], medians: dict[str, float | None]) -> str:
    """Return an HTML table with a row for each figure that applies to at least one subject, and the definitions."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ["", *(row.subject for row in rows), "median"])
    lines = []
    for name in (f.name for f in fields(Figures) if f.name != "subject"):
        if medians.get(name) is not None:
            cells = [*(shown(getattr(row, name)) for row in rows), shown(medians[name])]
            lines.append(f"<tr><td>{name}</td>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    definitions = f'<div class="definitions">{escape(cleandoc(Figures.__doc__ or ""))}</div>'
    return (
        f"<table><tr>{head}</tr>{''.join(lines)}</table><details><summary>Definitions</summary>{definitions}</details>"
    )


def curves_svg(curves: dict[str, Tensor]) -> str:
    """Return a plot of the lip apertures in eye distances over seconds, with gaps in frames without a face."""
    width, height = PLOT
    left, bottom = 46, 22
    count = max(len(curve) for curve in curves.values())
    top = max([0.05, *(float(curve[curve.isfinite()].max()) for curve in curves.values() if curve.isfinite().any())])
    across, up = (width - left - 8) / max(count - 1, 1), (height - bottom - 8) / top

    def place(index: int, value: float) -> str:
        return f"{left + index * across:.1f},{height - bottom - value * up:.1f}"

    parts = [f'<svg viewBox="0 0 {width} {height + 20}" width="{width}" font-size="11" fill="#555">']
    for value in (0.0, top / 2, top):
        y = height - bottom - value * up
        parts.append(
            f'<path d="M{left} {y:.1f}H{width - 8}" stroke="#ddd"/><text x="4" y="{y + 4:.1f}">{value:.3f}</text>'
        )
    for second in range(int((count - 1) / FPS) + 1):
        parts.append(f'<text x="{left + second * FPS * across:.1f}" y="{height - 6}">{second} s</text>')
    for number, (name, curve) in enumerate(curves.items()):
        command, path = "M", ""
        for index, value in enumerate(curve.tolist()):
            known = value == value
            path += f"{command}{place(index, value)}" if known else ""
            command = "L" if known else "M"
        colour = COLOURS[name]
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(f'<text x="{left + 190 * number}" y="{height + 14}" fill="{colour}">{WORDS[name]}</text>')
    return "".join(parts) + "</svg>"


def contact_sheet(result: Evaluation) -> Tensor:
    """Return evenly spaced frames of the generated video and below them the real one's at the same times: (3, H, W)."""
    videos = [result.video] if result.subject.real is None else [result.video, result.subject.real]
    places = torch.linspace(0, len(result.curves["found"]) - 1, COLUMNS).round().long().tolist()
    return torch.cat([_strip(path, places) for path in videos], 1)


def jpeg(image: Tensor) -> str:
    """Return an image (3, H, W) in 0..1 as a JPEG data URL."""
    buffer = io.BytesIO()
    Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _strip(path: Path, places: list[int]) -> Tensor:
    """Return frames of a video side by side, each fitted into a tile; past its end the last tile is repeated."""
    tiles: list[Tensor] = []
    tile = torch.zeros(3, TILE, TILE)
    for index, frame in enumerate(read_video(path, FPS)):
        if index in places or index == 0:
            scale = TILE / max(frame.shape[-2:])
            size = [max(round(side * scale), 1) for side in frame.shape[-2:]]
            small = interpolate(frame[None], size, mode="bilinear", antialias=True)[0]
            tile = torch.ones(3, TILE, TILE)
            tile[:, : size[0], : size[1]] = small
        tiles += [tile] * places.count(index)
    return torch.cat((tiles + [tile] * len(places))[: len(places)], 2)
