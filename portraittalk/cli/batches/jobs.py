"""The jobs of a batch: read from JSON lines or CSV, or made of a folder of portraits and a folder of speeches."""

import csv
import io
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any, Union, get_args, get_origin, get_type_hints

from ...checks import first_line, shown
from ...errors import SettingsError
from ...media.pieces import KINDS as RESUMED
from ...media.source import PICTURES, SOUNDS, VIDEOS
from ...output_files import check_outputs, identity
from ...text_files import parse_json, read_text
from ..animate_options import AnimateOptions, AnimationSettings
from ..options import check_exist

KINDS = (*RESUMED, "gif", "webp")
SEPARATOR = ";"  # between several portraits in a cell of a CSV file
_OTHER_NAMES = {"portrait": "portraits", "audio_scale": "speech_scale", "guidance": "guidance_scale"}
_TYPES = get_type_hints(AnimateOptions)
_WITHIN_OUT = ("out", "motion_out")  # paths that are relative to the folder of the batch
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Job:
    """One video of a batch. name: its file, relative to the folder of the batch."""

    name: str
    options: AnimateOptions


def read_jobs(sources: list[Path], out: Path, kind: str, settings: AnimationSettings) -> list[Job]:
    """Return the jobs of a file, or of two folders: every portrait of the first with every speech of the second.

    kind: format of the videos whose jobs name none. settings: of what a job leaves out. Raises SettingsError, which
    names the line, for a job that cannot be understood; whether its files can be used is found out when its turn comes.
    """
    if kind not in KINDS:
        raise SettingsError(f"A batch writes no videos in the format {kind}: choose one of {', '.join(KINDS)}.")
    check_exist(sources)
    if len(sources) == 2 and all(path.is_dir() for path in sources):
        named = list(_of_folders(*sources))
    elif len(sources) == 1 and sources[0].is_file():
        named = list(_of_file(sources[0]))
    else:
        raise SettingsError("Give one file of jobs (.jsonl or .csv), or two folders: portraits and speeches.")
    if not named:
        raise SettingsError(f"There are no jobs in {sources[0]}: add one a line.")
    common = {field.name: getattr(settings, field.name) for field in fields(AnimationSettings)}
    jobs = {where: _job(where, {**common, **values}, out, kind) for where, values in named}
    _check_files(jobs)
    return list(jobs.values())


def _of_folders(portraits: Path, speeches: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    sounds = _files(speeches, SOUNDS + VIDEOS, "sound files")
    for picture in _files(portraits, PICTURES, "pictures"):
        for sound in sounds:
            yield f"{picture.name} with {sound.name}", {"portraits": [picture], "audio": sound}


def _files(folder: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in suffixes)
    if not found:
        raise SettingsError(f"{folder} contains no {what}: give a folder with some.")
    return found


def _of_file(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".csv"):
        raise SettingsError(f"{path} is not a file of jobs: give one in .jsonl (a JSON object a line) or .csv.")
    try:
        text = read_text(path)
        rows = list(_json_rows(text) if suffix == ".jsonl" else _csv_rows(text))
    except (OSError, ValueError, csv.Error) as error:
        raise SettingsError(f"{path} cannot be read as jobs ({first_line(error)}): correct the file.") from error
    for number, row in rows:
        where = f"{path.name}, line {number}"
        yield where, {name: _value(where, name, value, path.parent) for name, value in _renamed(where, row).items()}


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = parse_json(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not a JSON object")
            yield number, {name: value for name, value in row.items() if value is not None}


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True)
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more cells than the first line has names")
        cells = {(name or "").strip(): (value or "").strip() for name, value in row.items()}
        cells = {name: value for name, value in cells.items() if value}  # an empty cell is a setting not given
        if cells:
            yield reader.line_num, cells


def _renamed(where: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a row by the names of the fields. Raises SettingsError for unknown and repeated ones."""
    known = [field.name for field in fields(AnimateOptions) if field.name != "resume"]
    result: dict[str, Any] = {}
    for given, value in row.items():
        plain = given.strip().lstrip("-").replace("-", "_")
        name = _OTHER_NAMES.get(plain, plain)
        if name not in known:
            raise SettingsError(f"{where}: there is no setting {shown(given)}; known settings: {', '.join(known)}.")
        if name in result:
            raise SettingsError(f"{where}: {name} is given twice: keep one.")
        result[name] = value
    return result


def _value(where: str, name: str, value: Any, folder: Path) -> Any:
    """Return a value of the field's type; text, as in CSV, is read as that type. Paths are relative to ``folder``."""
    wanted = _TYPES[name]
    if name == "portraits":
        several = [part.strip() for part in value.split(SEPARATOR)] if isinstance(value, str) else value
        if not isinstance(several, list) or not several or not all(_is_path(part) for part in several):
            raise SettingsError(f"{where}: portraits must be a path or a list of paths, not {shown(value)}.")
        return [folder / part for part in several]
    kinds = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    kind = next(one for one in kinds if one is not type(None))
    if kind is Path and _is_path(value):
        return Path(value) if name in _WITHIN_OUT else folder / value
    if kind is str and isinstance(value, str):
        return value
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
            return value.lower() in _TRUE
    if kind in (int, float) and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = kind(value)
        except (ValueError, OverflowError):
            number = None
        if number is not None and (isinstance(value, str) or number == value or value != value):
            return number
    word = {Path: "a path", str: "text", bool: "true or false", int: "a whole number", float: "a number"}[kind]
    raise SettingsError(f"{where}: {name} must be {word}, not {shown(value)}.")


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _job(where: str, values: dict[str, Any], out: Path, kind: str) -> Job:
    for name in ("portraits", "audio"):
        if name not in values:
            raise SettingsError(f"{where}: there is no {name.removesuffix('s')}: add it.")
    portrait, audio = values["portraits"][0], values["audio"]
    named = values.get("out", Path(f"{portrait.stem}_{audio.stem}.{kind}"))
    for path in (named, values.get("motion_out")):
        if path is not None and (path.is_absolute() or ".." in PurePath(path).parts or path.drive):
            raise SettingsError(f"{where}: {path} must lie within the folder of the batch: give a relative path.")
    suffix = named.suffix.lower().lstrip(".")
    if suffix not in KINDS:
        raise SettingsError(f"{where}: {named} has no suffix of a batch's videos: use one of .{', .'.join(KINDS)}.")
    files = {name: out / values[name] for name in _WITHIN_OUT if values.get(name) is not None}
    options = AnimateOptions(**{**values, "out": out / named, **files, "resume": suffix in RESUMED})
    return Job(named.as_posix(), options)


def _check_files(jobs: Mapping[str, Job]) -> None:
    """Raise an error for two jobs that write one file, or a job that would overwrite a file that another reads."""
    writers: dict[tuple[object, ...], str] = {}
    outputs = {where: written(job.options) for where, job in jobs.items()}
    for where, paths in outputs.items():
        for path in paths:
            key = identity(path)
            if key in writers:
                raise SettingsError(
                    f"{writers[key]} and {where} would both write {path.name}: give their videos names by 'out', or "
                    "rename a file."
                )
            writers[key] = where
    check_outputs(
        (path for paths in outputs.values() for path in paths), {p for job in jobs.values() for p in job.options.inputs}
    )


def written(options: AnimateOptions) -> list[Path]:
    """Return the files that a job writes."""
    return [options.out, *([] if options.motion_out is None else [options.motion_out])]


def changed_settings(options: AnimateOptions) -> dict[str, Any]:
    """Return the settings of a job that are not the usual ones, without files, in a form for JSON."""
    values = {field.name: (getattr(options, field.name), field.default) for field in fields(AnimationSettings)}
    return {name: value for name, (value, usual) in values.items() if value != usual and not isinstance(value, Path)}


def grouped(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs with those of one model beside each other, and of one portrait within these, else in order."""
    first: dict[Any, int] = {}
    jobs = list(jobs)
    keys = [(_model(job), (_model(job), tuple(job.options.portraits))) for job in jobs]
    for number, pair in enumerate(keys):
        for key in pair:
            first.setdefault(key, number)
    order = sorted(range(len(keys)), key=lambda number: (*(first[key] for key in keys[number]), number))
    return [jobs[number] for number in order]


def _model(job: Job) -> Any:
    options = job.options
    return (
        *(options.model, options.models_dir, options.device, options.precision, options.low_memory),
        *(options.channels_last, options.compiled),
    )
