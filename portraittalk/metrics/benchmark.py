"""A folder of people and speeches, measured one by one, and a report of it: JSON, tables and one page to look at.

Files of one name belong together: ``a.jpg`` with ``a.wav`` is a picture and its speech; ``a.mp4`` beside both is a
real video of it; a video alone is a real clip that is played again; ``a.phones`` says what is spoken when.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import MediaError, PortraitTalkError
from ..media.source import PICTURES, VIDEOS
from ..progress import Progress, ProgressCallback, ignore_progress
from .evaluate import Evaluation, Subject, replayed
from .figures import Figures, shown, table
from .frechet import Distances, distances
from .report import page

log = logging.getLogger(__name__)

SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus")


@dataclass(frozen=True)
class Failure:
    """A subject that could not be measured, and the sentence that says why."""

    name: str
    sentence: str


def subjects_in(folder: Path) -> list[Subject | Failure]:
    """What a folder holds, by name; a picture without a sound is a failure. Raises MediaError where it holds none."""
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []

    def found(stem: str, suffixes: tuple[str, ...]) -> Path | None:
        return next((p for p in files if p.stem == stem and p.suffix.lower() in suffixes), None)

    subjects: list[Subject | Failure] = []
    for stem in sorted({path.stem for path in files if path.suffix.lower() in PICTURES + VIDEOS}):
        picture, video, sound = found(stem, PICTURES), found(stem, VIDEOS), found(stem, SOUNDS)
        phones, speech = found(stem, (".phones",)), sound or video
        if picture is None and video is not None:
            subjects.append(replayed(video, phones))
        elif picture is not None and speech is not None:
            subjects.append(Subject(stem, picture, speech, video, phones))
        else:
            subjects.append(Failure(stem, f"There is no sound or video named {stem} beside the picture: add one."))
    if not subjects:
        raise MediaError(f"There is no picture and no video in {folder}: give a folder of pictures with sounds.")
    return subjects


def benchmark(
    subjects: list[Subject | Failure],
    measure: Callable[[Subject, Path], Evaluation],
    out: Path,
    title: str,
    progress: ProgressCallback = ignore_progress,
) -> list[Evaluation | Failure]:
    """Measures every subject with ``measure(subject, video to write)`` and writes the report into ``out``:
    ``report.json``, ``report.tsv``, ``report.md`` and ``report.html``, anew after each subject; videos in ``videos``.

    A subject that cannot be measured becomes a sentence in the report. FID and FVD come in at the end.
    """
    videos = out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    results: list[Evaluation | Failure] = []
    for number, subject in enumerate(subjects):
        progress(Progress("benchmark", number, len(subjects)))
        if isinstance(subject, Failure):
            results.append(subject)
        else:
            try:
                results.append(measure(subject, videos / f"{subject.name}.mp4"))
            except PortraitTalkError as error:
                log.warning("%s: %s", subject.name, error)
                results.append(Failure(subject.name, str(error)))
        _write(results, out, title)
    features = [result.features for result in results if isinstance(result, Evaluation) and result.features]
    _write(results, out, title, distances([made for made, _ in features], [real for _, real in features]))
    progress(Progress("benchmark", len(subjects), len(subjects)))
    return results


def medians(rows: list[Figures]) -> dict[str, float | None]:
    """Of every figure over the subjects to which it applies."""
    found: dict[str, float | None] = {}
    for name in (f.name for f in fields(Figures) if f.name != "subject"):
        values = sorted(v for row in rows if (v := getattr(row, name)) is not None and v == v)
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 if values else None
        found[name] = middle
    return found


def markdown(results: list[Evaluation | Failure], sets: Distances | None = None) -> str:
    """A row for each figure and a column for each subject, the medians last; below it the sets, and what failed."""
    rows = [result.figures for result in results if isinstance(result, Evaluation)]
    middles = medians(rows)
    lines = ["| | " + " | ".join([*(row.subject for row in rows), "median"]) + " |", "|---" * (len(rows) + 2) + "|"]
    for name, middle in middles.items():
        if middle is not None:
            cells = [*(shown(getattr(row, name)) for row in rows), shown(middle)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{sentence}\n" for sentence in ([] if sets is None else sets.sentences()))]
    lines += [f"- {result.name}: {result.sentence}" for result in results if isinstance(result, Failure)]
    return "\n".join(lines).strip() + "\n"


def _write(results: list[Evaluation | Failure], out: Path, title: str, sets: Distances | None = None) -> None:
    rows = [result.figures for result in results if isinstance(result, Evaluation)]
    failures = [result for result in results if isinstance(result, Failure)]
    values = {
        "title": title,
        "medians": medians(rows),
        "sets": None if sets is None else asdict(sets),
        "subjects": [asdict(row) for row in rows],
        "failures": {failure.name: failure.sentence for failure in failures},
        "curves": {r.figures.subject: _numbers(r) for r in results if isinstance(r, Evaluation)},
    }
    (out / "report.json").write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
    (out / "report.tsv").write_text(table(rows) + "\n", encoding="utf-8")
    (out / "report.md").write_text(markdown(results, sets), encoding="utf-8")
    shown_results = [r for r in results if isinstance(r, Evaluation)]
    sentences = {failure.name: failure.sentence for failure in failures}
    told = () if sets is None else sets.sentences()
    (out / "report.html").write_text(page(title, shown_results, sentences, medians(rows), told), encoding="utf-8")


def _numbers(result: Evaluation) -> dict[str, list[float | None]]:
    """Curves for JSON, which knows no NaN."""
    return {
        name: [round(value, 4) if value == value else None for value in curve.tolist()]
        for name, curve in result.curves.items()
    }
