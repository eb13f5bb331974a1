"""One file that says all of a run: TOML, over the recipe that ships, under the options of the command line.

The keys of the file are the fields of the stage's dataclass in ``runs``, tables being dataclasses within it. What came
out of all layers is written into the run's folder as ``run.toml``, with which the run can be repeated.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

logger = logging.getLogger(__name__)

T = TypeVar("T")
RECIPES = Path(__file__).parent / "recipes"
COMMAND = "command"  # the key that says which command a file is for


@dataclass(frozen=True)
class Layer:
    """Settings, nested as in a file, and where they came from."""

    source: str
    values: dict[str, Any]


def read_layers(
    command: str, config: Path | None, options: dict[str, Any], assignments: Sequence[str] = ()
) -> list[Layer]:
    """What a user says about a run of ``command`` ("animate"), the weakest first: the file, then the options.

    options: dotted keys and what the command line says of them, None where it says nothing. assignments:
    ``KEY=VALUE``, the value as TOML writes it.
    Raises SettingsError for a file that is missing, is no TOML, or belongs to another command.
    """
    layers = [] if config is None else [_read(config, command)]
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment} says nothing: write KEY=VALUE, as in training.batch=8.")
        layers.append(Layer(f"--set {assignment}", _nested(key.strip(), _value(text.strip()))))
    for key, given in options.items():
        if given is not None:
            layers.append(Layer("the command line", _nested(key, given)))
    return layers


def recipe(command: str) -> list[Layer]:
    """What ships for ``command``, below what a user says. The stages of "animate" have a recipe each: "animate 1"."""
    path = RECIPES / f"{command.replace(' ', '-')}.toml"
    return [_read(path, command.rstrip(" 12"))] if path.is_file() else []


def asked(layers: list[Layer], key: str) -> Any:
    """What the layers say at a dotted key, or None."""
    for layer in reversed(layers):
        found = dict(_flat(layer.values))
        if key in found:
            return found[key]
    return None


def build(kind: type[T], layers: list[Layer]) -> T:
    """The dataclass ``kind`` out of the layers. Raises SettingsError that names file, key and what is allowed."""
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
            message = f"The run lacks '{key}': give it in a file with --config, or on the command line (--{option})."
        else:
            allowed = first["msg"][:1].lower() + first["msg"][1:]
            message = f"{_source_of(names, layers)}: {key} cannot be {first['input']!r}: {allowed}."
        raise SettingsError(message) from None


def write_run(run: Any, command: str, out: Path) -> None:
    """``run.toml`` in the run's folder, paths made absolute. A run that goes on with other settings is told about."""
    if os.environ.get("RANK", "0") != "0":  # torchrun's: one of several processes writes
        return
    import tomli_w

    path = out / "run.toml"
    values = {COMMAND: command, **_plain(asdict(run))}
    if (out / "state.safetensors").exists() and path.exists():
        before, now = dict(_flat(_read(path, command).values)), dict(_flat(_plain(asdict(run))))
        changed = [key for key in before | now if before.get(key) != now.get(key)]
        if changed:
            logger.warning("The run in %s goes on with another %s.", out, ", ".join(changed))
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(values), encoding="utf-8")


def _read(path: Path, command: str) -> Layer:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no file {path}: give a TOML file that says how to train.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}.") from None
    named = values.pop(COMMAND, command)
    if named != command:
        raise SettingsError(f"{path} is for `portraittalk train {named}`, not for `train {command}`.")
    return Layer(str(path), values)


def _value(text: str) -> Any:
    """A value as TOML writes it; what is none, such as a bare path, is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def _merged(below: dict[str, Any], above: dict[str, Any], kind: Any, source: str, where: str) -> dict[str, Any]:
    """``above`` over ``below``, table by table, those of free keys over their usual values. Raises SettingsError for a
    key that ``kind`` does not have."""
    kinds = get_type_hints(kind)
    usual = {field.name: field.default_factory() for field in fields(kind) if field.default_factory is not MISSING}
    merged = dict(below)
    for name, value in above.items():
        if name not in kinds:
            known = ", ".join(field.name for field in fields(kind))
            raise SettingsError(f"{source}: there is no setting {where}{name}; known here are: {known}.")
        if is_dataclass(kinds[name]) and isinstance(value, dict):
            value = _merged(merged.get(name, {}), value, kinds[name], source, f"{where}{name}.")
        elif isinstance(value, dict):
            value = {**merged.get(name, usual.get(name, {})), **value}
        merged[name] = value
    return merged


def _source_of(names: list[str], layers: list[Layer]) -> str:
    """Which layer said last what stands at these names, or above them."""
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
    """What TOML can hold: paths as text, and nothing where there is nothing."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value.resolve()) if isinstance(value, Path) else value


def _flat(values: dict[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value
