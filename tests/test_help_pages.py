"""Pictures of the help pages, which scripts/help_pictures.py draws: all are there, shown, and small."""

import re
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parents[1] / "web" / "docs"
PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)]+)\)")  # with a text for those who do not see it
LARGEST, WIDEST = 500_000, 640  # bytes of all together; pixels


def test_pictures() -> None:
    shown = [path for page in DOCS.glob("*.md") for _, path in PICTURE.findall(page.read_text(encoding="utf-8"))]
    files = {f"images/{path.name}": path for path in (DOCS / "images").iterdir()}
    assert sorted(shown) == sorted(files) and len(files) >= 9
    assert sum(path.stat().st_size for path in files.values()) < LARGEST
    for path in files.values():
        with Image.open(path) as picture:
            assert picture.width == WIDEST, path.name
