"""Benchmark of a folder of portraits and speech clips, with a report as JSON, TSV, Markdown and HTML.

Files with the same stem belong together: ``a.jpg`` with ``a.wav`` is a portrait and its speech; ``a.mp4`` beside both
is a real video of that speech; a video alone is a real clip, regenerated from its first frame and its audio;
``a.phones`` holds the timed phones.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import MediaError, PortraitTalkError
from ..media.source import PICTURES, SOUNDS, VIDEOS
from ..output_files import check_outputs, make_folder, write_text
from ..progress import Progress, ProgressCallback, ignore_progress
from .evaluate import Evaluation, Subject, replayed
from .figures import Figures, shown, table
from .frechet import Distances, distances
from .naturalness import scores
from .report import page

log = logging.getLogger(__name__)

VIDEO_FOLDER = "videos"


@dataclass(frozen=True)
class Failure:
    """A subject that could not be measured, and the error message."""

    name: str
    sentence: str


def subjects_in(folder: Path) -> list[Subject | Failure]:
    """Return the subjects of a folder by name; a picture without speech becomes a Failure.

    Raises MediaError if there are none, or no such folder.
    """
    if not folder.is_dir():
        raise MediaError(f"There is no folder {folder}: give a folder of pictures with speech files.")
    files = sorted(path for path in folder.iterdir() if path.is_file())

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
            subjects.append(Failure(stem, f"The picture has no audio file or video named {stem} beside it: add one."))
    if not subjects:
        raise MediaError(f"{folder} contains no pictures or videos: give a folder of pictures with speech files.")
    return subjects


def prepare_output(subjects: list[Subject | Failure], out: Path) -> dict[str, Path]:
    """Create the folders of a benchmark and return the video to write for each subject, by its name.

    Raises OutputError if they cannot be written, or a file of a subject would be overwritten.
    """
    measured = [subject for subject in subjects if isinstance(subject, Subject)]
    videos = {subject.name: out / VIDEO_FOLDER / f"{subject.name}.mp4" for subject in measured}
    reports = [out / f"report.{kind}" for kind in ("json", "tsv", "md", "html")]
    check_outputs([*videos.values(), *reports], {path for subject in measured for path in subject.files})
    make_folder(out / VIDEO_FOLDER)
    return videos


def benchmark(
    subjects: list[Subject | Failure],
    measure: Callable[[Subject, Path], Evaluation],
    out: Path,
    title: str,
    progress: ProgressCallback = ignore_progress,
) -> list[Evaluation | Failure]:
    """Measure every subject with ``measure(subject, output video)`` and write a report.

    Writes ``report.json``, ``report.tsv``, ``report.md`` and ``report.html`` into ``out``, updated after each subject,
    and the videos into ``out/videos``. A subject that cannot be measured is listed in the report with its error. FID
    and FVD are added at the end. Raises OutputError as ``prepare_output`` does.
    """
    videos = prepare_output(subjects, out)
    results: list[Evaluation | Failure] = []
    for number, subject in enumerate(subjects):
        progress(Progress("benchmark", number, len(subjects)))
        if isinstance(subject, Failure):
            results.append(subject)
        else:
            try:
                results.append(measure(subject, videos[subject.name]))
            except PortraitTalkError as error:
                log.warning("%s: %s", subject.name, error)
                results.append(Failure(subject.name, str(error)))
        _write(results, out, title)
    features = [result.features for result in results if isinstance(result, Evaluation) and result.features]
    _write(results, out, title, distances([made for made, _ in features], [real for _, real in features]))
    progress(Progress("benchmark", len(subjects), len(subjects)))
    return results


def medians(rows: list[Figures]) -> dict[str, float | None]:
    """Return the median of each figure over the subjects to which it applies."""
    result: dict[str, float | None] = {}
    for name in (f.name for f in fields(Figures) if f.name != "subject"):
        values = sorted(v for row in rows if (v := getattr(row, name)) is not None and v == v)
        median = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 if values else None
        result[name] = median
    return result


def markdown(results: list[Evaluation | Failure], sets: Distances | None = None) -> str:
    """Return a table with a row per figure, a column per subject and the medians last, then FID, FVD and failures."""
    rows = [result.figures for result in results if isinstance(result, Evaluation)]
    medians_of_rows = medians(rows)
    lines = ["| | " + " | ".join([*(row.subject for row in rows), "median"]) + " |", "|---" * (len(rows) + 2) + "|"]
    for name, median in medians_of_rows.items():
        if median is not None:
            cells = [*(shown(getattr(row, name)) for row in rows), shown(median)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{sentence}\n" for sentence in notes(results, sets))]
    lines += [f"- {result.name}: {result.sentence}" for result in results if isinstance(result, Failure)]
    return "\n".join(lines).strip() + "\n"


def notes(results: list[Evaluation | Failure], sets: Distances | None) -> tuple[str, ...]:
    """Return sentences on all videos together: THEval's scores of motion, FID and FVD."""
    natural = naturalness_scores(results)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in natural.items())
    scored = (f"Motion compared with the real speakers', 1 is equal: {listed}.",) if natural else ()
    return scored + (() if sets is None else tuple(sets.sentences()))


def naturalness_scores(results: list[Evaluation | Failure]) -> dict[str, float]:
    """Return THEval's scores over all subjects with a real video; empty if there are none."""
    pairs = [result.natural for result in results if isinstance(result, Evaluation) and result.natural]
    return scores([made for made, _ in pairs], [real for _, real in pairs]) if pairs else {}


def _write(results: list[Evaluation | Failure], out: Path, title: str, sets: Distances | None = None) -> None:
    rows = [result.figures for result in results if isinstance(result, Evaluation)]
    failures = [result for result in results if isinstance(result, Failure)]
    values = {
        "title": title,
        "medians": medians(rows),
        "naturalness": naturalness_scores(results),
        "sets": None if sets is None else asdict(sets),
        "subjects": [asdict(row) for row in rows],
        "failures": {failure.name: failure.sentence for failure in failures},
        "curves": {r.figures.subject: _numbers(r) for r in results if isinstance(r, Evaluation)},
    }
    write_text(out / "report.json", json.dumps(values, indent=1, ensure_ascii=False))
    write_text(out / "report.tsv", table(rows) + "\n")
    write_text(out / "report.md", markdown(results, sets))
    measured = [r for r in results if isinstance(r, Evaluation)]
    errors = {failure.name: failure.sentence for failure in failures}
    html = page(title, measured, errors, medians(rows), notes(results, sets))
    write_text(out / "report.html", html)


def _numbers(result: Evaluation) -> dict[str, list[float | None]]:
    """Return the curves for JSON, with NaN as null."""
    return {
        name: [round(value, 4) if value == value else None for value in curve.tolist()]
        for name, curve in result.curves.items()
    }
