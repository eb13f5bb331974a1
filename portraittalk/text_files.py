"""Reading text and JSON files as editors on any system write them."""

import codecs
import json
from pathlib import Path
from typing import Any

LARGEST = 1 << 30  # bytes of a text file
# The mark of UTF-32 begins with that of UTF-16, so it comes first. Each codec skips its own mark.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def read_text(path: Path, errors: str = "strict", largest: int = LARGEST) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, as Windows editors write.

    Line ends become ``\\n``. errors: what happens to bytes that are no text, as for ``bytes.decode``. Raises OSError
    where the file cannot be read, ValueError where it holds no text or more than ``largest`` bytes.
    """
    data = bytearray()
    with path.open("rb") as file:
        while block := file.read(1 << 20):  # in blocks, since a device or a pipe has no size
            data += block
            if len(data) > largest:
                raise ValueError(f"it is larger than {largest / 2**20:g} MB")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, see ``read_text``. Raises OSError, and ValueError for anything else."""
    return parse_json(read_text(path))


def parse_json(text: str) -> Any:
    """Return the content of JSON text. Raises ValueError if it is not JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
