"""Imports point downwards only: what a room may import is written down here, and in docs/design.md."""

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "portraittalk"
GROUND = (
    *("arkit", "checks", "config", "errors", "output_files", "precision"),
    *("progress", "smooth", "tensor_files", "text_files", "types"),
)
ROOMS = (  # from top to bottom; rooms on one line do not import each other
    ("cli",),
    ("training",),
    ("metrics",),
    ("pipelines",),
    ("memory",),
    ("sampling", "compositing", "weights"),
    ("text", "motion"),
    ("face",),
    ("models",),
    ("speech",),
    ("media",),
    GROUND,
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
FORBIDDEN = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "nodes", "server")


def imports(path: Path) -> list[str]:
    """The modules that a file imports, by their full names."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            found += [f"{module}.{name.name}" for name in node.names]
    return found


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in GROUND]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_imports_what_stands_above_it(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imports(path):
        top, *rest = name.split(".")
        assert top not in FORBIDDEN, f"{name}: the library knows nothing of ComfyUI"
        if top == "portraittalk" and rest and rest[0] != room:
            assert rest[0] in LEVEL, f"{name}: name the room in ROOMS"
            assert LEVEL[rest[0]] > LEVEL[room] or (room in GROUND and rest[0] in GROUND), f"{room} imports {name}"


def test_only_the_host_folder_imports_comfyui_internals():
    for path in sorted((ROOT / "nodes").rglob("*.py")):
        if path.parent.name != "host":
            assert not {name.split(".")[0] for name in imports(path)} & {"comfy", "folder_paths"}, path


def test_every_room_has_its_place():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == {room for rooms in ROOMS for room in rooms} - set(GROUND)
    assert all(not set(one) & set(other) for one, other in combinations(ROOMS, 2))


def imported_at_once(path: Path) -> list[Path | str]:
    """What importing a file imports: files of the repository, and the names of other packages."""

    def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            yield node
            for inner in ("body", "orelse", "finalbody"):
                if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield from statements(getattr(node, inner, []))

    found: list[Path | str] = []
    for node in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = [folder / alias.name for alias in node.names]
            for place in (folder, *names):
                found += [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return found


def test_comfyui_starts_without_waiting_for_diffusers():
    """Its import takes seconds, so it waits for the first model: no import leads there from the nodes at once."""
    reached: dict[Path, Path | None] = {path: None for path in (ROOT / "nodes").rglob("*.py")}
    waiting = list(reached)
    while waiting:
        path = waiting.pop()
        for target in imported_at_once(path):
            if isinstance(target, Path) and target not in reached:
                reached[target] = path
                waiting.append(target)
            assert target not in ("diffusers", "transformers", "accelerate"), f"{path} imports it for {reached[path]}"
    assert len(reached) > 100
