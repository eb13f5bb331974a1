"""What a batch has made, to be looked at: a contact sheet, and a page that plays the videos."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageDraw

from ...output_files import atomic_file, explained, write_text
from .jobs import Job
from .manifest import DONE, Record

PAGE = "index.html"
STRIPS = "thumbnails"  # folder with a strip of frames of each video
SHOWN = 3  # frames of a video
TILE = 160  # pixels
_ACROSS, _DOWN = 3, 20  # videos on a sheet
_LABEL = 16  # pixels
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1500px; margin: 2em auto; padding: 0 1em; color: #222 }
ul { list-style: none; padding: 0; display: grid; gap: 1.5em }
ul { grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)) }
video, li > img { width: 100%; background: #eee }
h2 { font-size: 1em; margin: .4em 0; overflow-wrap: anywhere }
p { margin: .2em 0 } small { color: #666 } .failure { color: #a00 }
"""


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures side by side, each in the middle of a square tile."""
    sheet = Image.new("RGB", (TILE * SHOWN, TILE), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (TILE * number + (TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return sheet


def write_report(folder: Path, jobs: Sequence[Job], records: dict[str, Record]) -> list[Path]:
    """Write ``index.html`` and contact sheets of all jobs into the folder of a batch, and return their paths.

    records: of the jobs that have ended, by name.
    """
    known = [records[job.name] for job in jobs if job.name in records]
    done = [record for record in known if record.status == DONE]
    size = _ACROSS * _DOWN
    sheets = []
    for number, first in enumerate(range(0, len(done), size), 1):
        path = folder / ("contact_sheet.jpg" if len(done) <= size else f"contact_sheet_{number}.jpg")
        with atomic_file(path) as part, explained(path):
            _sheet(folder, done[first : first + size]).save(part, "JPEG", quality=85)
        sheets.append(path)
    page = folder / PAGE
    write_text(page, _page(jobs, records, [path.name for path in sheets]))
    return [page, *sheets]


def _sheet(folder: Path, records: Sequence[Record]) -> Image.Image:
    across = min(len(records), _ACROSS)
    down = -(-len(records) // across)
    width, height = TILE * SHOWN + 8, TILE + _LABEL
    sheet = Image.new("RGB", (across * width, down * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, record in enumerate(records):
        x, y = number % across * width, number // across * height
        draw.text((x + 2, y + 2), record.out.encode("ascii", "replace").decode(), fill="black")
        try:
            with Image.open(folder / STRIPS / f"{record.out}.jpg") as image:
                sheet.paste(image, (x, y + _LABEL))
        except OSError:  # somebody has removed it; the video is what counts
            draw.text((x + 2, y + _LABEL + 2), "no pictures", fill="grey")
    return sheet


def _page(jobs: Sequence[Job], records: dict[str, Record], sheets: list[str]) -> str:
    found = [records.get(job.name) for job in jobs]
    done = sum(record is not None and record.status == DONE for record in found)
    failed = sum(record is not None and record.status != DONE for record in found)
    head = f"{done} of {len(jobs)} videos" + (f", {failed} failed" if failed else "")
    links = "".join(f' <a href="{quote(name)}">{escape(name)}</a>' for name in [*sheets, "manifest.jsonl"])
    items = "\n".join(_item(job, record) for job, record in zip(jobs, found, strict=True))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{head}</title><style>{_STYLE}</style>'
        f"</head><body>\n<h1>{head}</h1>\n<p>{links}</p>\n<ul>\n{items}\n</ul>\n</body></html>\n"
    )


def _item(job: Job, record: Record | None) -> str:
    lines = [f"<h2>{escape(job.name)}</h2>"]
    settings = ", ".join(f"{name} {value}" for name, value in (record.settings if record is not None else {}).items())
    if record is None:
        lines.append("<p>not made yet</p>")
    elif record.status != DONE:
        lines.append(f'<p class="failure">{escape(record.error or "")}</p>')
    else:
        source, poster = quote(job.name), quote(f"{STRIPS}/{job.name}.jpg")
        if job.options.out.suffix.lower() in (".gif", ".webp"):
            lines.insert(0, f'<img loading="lazy" alt="" src="{source}">')
        else:
            lines.insert(0, f'<video controls preload="none" poster="{poster}" src="{source}"></video>')
        seconds = sum(record.seconds.values())
        height, width = record.size
        lines.append(
            f"<p>{record.frames} frames of {width}x{height}, {record.frames / record.fps:.2f} s; "
            f"made in {seconds:.1f} s</p>"
        )
    lines += [f"<p>{escape(settings)}</p>"] if settings else []
    files = ", ".join(Path(path).name for path in [*job.options.portraits, job.options.audio])
    lines.append(f"<p><small>{escape(files)}</small></p>")
    lines += [f"<p><small>{escape(line)}</small></p>" for line in (record.warnings if record is not None else ())]
    return f"<li>{''.join(lines)}</li>"
