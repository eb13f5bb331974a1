"""Text files of every editor: with and without byte order marks, with every kind of line end."""

import pytest

from portraittalk.text_files import parse_json, read_json, read_text

TEXT = "fps = 25\nname = 'Zoë, 李'\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_read_in_every_usual_encoding(tmp_path, encoding, end):
    (tmp_path / "text").write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(tmp_path / "text") == TEXT


def test_big_endian_text_is_read(tmp_path):
    (tmp_path / "text").write_bytes(("\ufeff" + TEXT).encode("utf-16-be"))
    assert read_text(tmp_path / "text") == TEXT


def test_what_is_no_text_is_an_error_or_replaced(tmp_path):
    (tmp_path / "text").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError):
        read_text(tmp_path / "text")
    assert read_text(tmp_path / "text", errors="replace") == "caf\ufffd"
    with pytest.raises(OSError):
        read_text(tmp_path)


def test_large_files_are_refused(tmp_path):
    (tmp_path / "text").write_bytes(b"x" * 5000)
    assert len(read_text(tmp_path / "text", largest=5000)) == 5000
    with pytest.raises(ValueError, match="larger than"):
        read_text(tmp_path / "text", largest=4999)


def test_json(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, 2]}', encoding="utf-16")
    assert read_json(tmp_path / "a.json") == {"a": [1, 2]}
    for text in ("", "{", "[" * 100_000, '{"a": ' * 100_000, "1" * 5000 + "x"):
        with pytest.raises(ValueError):
            parse_json(text)
