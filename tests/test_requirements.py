"""The versions that the project asks for are the same in every file that names them."""

import re
import sys
from pathlib import Path
from typing import Any

import portraittalk

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


def lines_of(name: str) -> list[str]:
    """The requirements in a file, without comments."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> dict[str, list[str]]:
    """Requirements by extra; those of the library itself under ""."""
    return {"": project()["dependencies"], **project()["optional-dependencies"]}


def release(version: str) -> tuple[int, ...]:
    """Version numbers without zeros at the end, so that 10 is 10.0.0."""
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def test_the_version_is_the_packages():
    assert portraittalk.__version__ == project()["version"]


def test_comfyui_installs_what_the_library_needs():
    assert sorted(lines_of("requirements.txt")) == sorted(requirements()[""])


def test_the_oldest_versions_are_the_ones_under_test():
    asked = [re.match(r"([\w-]+)>=([\d.]+)", line) for group in requirements().values() for line in group]
    minimums = {found[1]: release(found[2]) for found in asked if found}
    tested = dict(line.split("==") for line in lines_of("constraints-oldest.txt"))
    assert minimums == {name: release(version) for name, version in tested.items()}


def test_nothing_is_limited_from_above():
    asked = [line.partition(";")[0] for group in requirements().values() for line in group]
    assert not [line for line in asked if re.search("<|==|~=", line)]
