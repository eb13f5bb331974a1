"""What the ComfyUI registry reads from pyproject.toml: pictures in the repository, of the sizes that it asks for."""

import sys
from pathlib import Path

import pytest
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
RAW, BRANCH = "https://raw.githubusercontent.com", "main"
LARGEST = 300_000  # bytes


@pytest.mark.parametrize(("key", "shape"), [("Icon", (400, 400)), ("Banner", (1680, 720))])  # square, and 21:9
def test_pictures_lie_where_their_addresses_say(key: str, shape: tuple[int, int]) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    repository = settings["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    address = settings["tool"]["comfy"][key]
    prefix = f"{RAW}/{repository}/{BRANCH}/"
    assert address.startswith(prefix)
    path = ROOT / address.removeprefix(prefix)
    with Image.open(path) as picture:
        assert picture.size == shape and picture.format == "PNG"
    assert path.stat().st_size < LARGEST and path.with_suffix(".svg").is_file()
