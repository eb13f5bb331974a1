"""Run configuration, merged from the shipped recipe, a TOML file and the command line, in increasing precedence.

The file's keys are the fields of the stage's dataclass in ``runs``; tables are nested dataclasses. The merged result is
written into the run's folder as ``run.toml``, with which the run can be repeated.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..errors import SettingsError
from ..output_files import check_outputs, identity, make_folder, write_text
from ..tensor_files import check_tensor_file
from ..text_files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

logger = logging.getLogger(__name__)

T = TypeVar("T")
RECIPES = Path(__file__).parent / "recipes"
COMMAND = "command"  # key that names the command a file is for
RESULT = "file"  # setting that names a file to write; all other paths are inputs
# What trainers write into a run's folder.
WRITTEN = (
    "run.toml",
    "log.jsonl",
    "state.safetensors",
    "weights.safetensors",
    "utterances.safetensors",
    "adfd.safetensors",
)


@dataclass(frozen=True)
class Layer:
    """Settings, nested as in a file, and their source."""

    source: str
    values: dict[str, Any]


def read_layers(
    command: str, config: Path | None, options: dict[str, Any], assignments: Sequence[str] = ()
) -> list[Layer]:
    """Return the user's settings for a run of ``command`` ("animate"), lowest precedence first: file, then options.

    options: dotted key -> value from the command line, None where the option was not given. assignments:
    ``KEY=VALUE`` with the value in TOML syntax.
    Raises SettingsError if the file is missing, is not TOML or belongs to another command.
    """
    layers = [] if config is None else [_read(config, command)]
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment} has no value: write KEY=VALUE, as in training.batch=8.")
        layers.append(Layer(f"--set {assignment}", _nested(key.strip(), _value(text.strip()))))
    for key, value in options.items():
        if value is not None:
            layers.append(Layer("the command line", _nested(key, value)))
    return layers


def recipe(command: str) -> list[Layer]:
    """Return the shipped recipe of ``command``, the lowest layer. Each stage of "animate" has its own: "animate 1"."""
    path = RECIPES / f"{command.replace(' ', '-')}.toml"
    return [_read(path, command.rstrip(" 12"))] if path.is_file() else []


def asked(layers: list[Layer], key: str) -> Any:
    """Return the value of a dotted key in the topmost layer that sets it, or None."""
    for layer in reversed(layers):
        values = dict(_flat(layer.values))
        if key in values:
            return values[key]
    return None


def build(kind: type[T], layers: list[Layer]) -> T:
    """Build the dataclass ``kind`` from the layers. Raises SettingsError naming file, key and allowed values."""
    from pydantic import TypeAdapter, ValidationError

    values: dict[str, Any] = {}
    for layer in layers:
        values = _merged(values, layer.values, kind, layer.source, "")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        names = [str(part) for part in first["loc"]]
        key = ".".join(names)
        if first["type"] == "missing":
            option = names[-1].replace("_", "-")
            message = f"The run needs '{key}': set it in a file with --config, or on the command line (--{option})."
        else:
            allowed = first["msg"][:1].lower() + first["msg"][1:]
            message = f"{_source_of(names, layers)}: {key} cannot be {first['input']!r}: {allowed}."
        raise SettingsError(message) from None


def check_run(run: Any, out: Path) -> None:
    """Raise SettingsError if an input of the run does not exist, OutputError if one would be overwritten."""
    paths = {f.name: getattr(run, f.name) for f in fields(run) if isinstance(getattr(run, f.name), Path)}
    result = paths.pop(RESULT, None)
    for name, path in paths.items():
        if not path.exists():
            raise SettingsError(f"The run's '{name}' {path} does not exist: check the path.")
    check_outputs([out / name for name in WRITTEN], paths.values())
    if result is not None:
        check_tensor_file(result, paths.values())


def write_run(run: Any, command: str, out: Path, config: Path | None = None) -> None:
    """Write ``run.toml`` into the run's folder, with absolute paths; warn if a resumed run's settings changed.

    config: the user's file of settings. If it is that ``run.toml`` and complete, it is left as it is; raises
    SettingsError if it would be overwritten by other settings.
    """
    if os.environ.get("RANK", "0") != "0":  # set by torchrun: only one process writes
        return
    import tomli_w

    path = out / "run.toml"
    values = {COMMAND: command, **_plain(asdict(run))}
    if (out / "state.safetensors").exists() and path.exists():
        before, now = dict(_flat(_read(path, command).values)), dict(_flat(_plain(asdict(run))))
        changed = [key for key in before | now if before.get(key) != now.get(key)]
        if changed:
            logger.warning("The run in %s resumes with changed settings: %s.", out, ", ".join(changed))
    make_folder(out)
    if config is not None and identity(config) == identity(path):
        if dict(_flat(_read(path, command).values)) != dict(_flat(_plain(asdict(run)))):
            raise SettingsError(
                f"{path} would be overwritten by the record of this run: copy it to another name, and give that with "
                "--config."
            )
        return
    write_text(path, tomli_w.dumps(values))


def _read(path: Path, command: str) -> Layer:
    try:
        values = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise SettingsError(f"There is no file {path}: give a TOML file with training settings.") from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}): give a TOML file with training settings."
        ) from None
    except (ValueError, RecursionError) as error:  # such as TOMLDecodeError
        raise SettingsError(f"{path} is not TOML: {error}.") from None
    file_command = values.pop(COMMAND, command)
    if file_command != command:
        raise SettingsError(f"{path} is for `portraittalk train {file_command}`, not for `train {command}`.")
    return Layer(str(path), values)


def _value(text: str) -> Any:
    """Parse a TOML value; anything else, such as a bare path, is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def _merged(below: dict[str, Any], above: dict[str, Any], kind: Any, source: str, prefix: str) -> dict[str, Any]:
    """Merge ``above`` over ``below`` table by table; a table of which only a part is given is merged over its default.

    Raises SettingsError for a key that ``kind`` does not have."""
    kinds = get_type_hints(kind)
    defaults = {field.name: field.default_factory() for field in fields(kind) if field.default_factory is not MISSING}
    tables = {
        field.name: asdict(field.default)
        for field in fields(kind)
        if is_dataclass(field.default) and not isinstance(field.default, type)
    }
    merged = dict(below)
    for name, value in above.items():
        if name not in kinds:
            known = ", ".join(field.name for field in fields(kind))
            raise SettingsError(f"{source}: there is no setting {prefix}{name}; known settings: {known}.")
        if is_dataclass(kinds[name]) and isinstance(value, dict):
            below_it = merged.get(name, tables.get(name, {}))
            value = _merged(below_it, value, kinds[name], source, f"{prefix}{name}.")
        elif isinstance(value, dict):
            value = {**merged.get(name, defaults.get(name, {})), **value}
        merged[name] = value
    return merged


def _source_of(names: list[str], layers: list[Layer]) -> str:
    """Return the source of the topmost layer that sets this key path, or else its first key."""
    for layer in reversed(layers):
        part: Any = layer.values
        for name in names:
            if not isinstance(part, dict) or name not in part:
                break
            part = part[name]
        else:
            return layer.source
    return next(layer.source for layer in reversed(layers) if names[0] in layer.values)


def _plain(value: Any) -> Any:
    """Convert a value to TOML types: paths become absolute text, None is dropped."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value.resolve()) if isinstance(value, Path) else value


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
