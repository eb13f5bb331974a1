"""Downloads, from a small server that speaks as the Hugging Face hub does: resumed, hashed, refused in a sentence."""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from portraittalk.errors import OutputError, WeightsError
from portraittalk.weights.catalogue import PublicFile
from portraittalk.weights.download import download, received

DATA = bytes(range(256)) * 1200  # 300 kB
FILE = PublicFile("tiny.pth", "people/tiny", "folder/weights.safetensors", 0.3, "MIT", "a test")


@pytest.fixture(autouse=True)
def served(hub):
    hub.files[f"{FILE.repo}/{FILE.path}"] = DATA


def test_a_file_comes_into_its_place_and_is_not_asked_for_again(hub, tmp_path):
    place = download(FILE, tmp_path, hub.endpoint)
    assert place == tmp_path / "public" / "tiny.pth" and place.read_bytes() == DATA
    assert received(place) == {
        "bytes": len(DATA),
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "announced": True,
        "revision": "c0ffee" + "0" * 34,
    }
    assert sorted(path.name for path in (tmp_path / "public").iterdir()) == [".unfinished", "received.json", FILE.name]
    assert download(FILE, tmp_path, hub.endpoint) == place and len(hub.asked) == 1


def test_progress_counts_bytes_and_can_end_a_download_that_is_resumed_later(hub, tmp_path):
    class Cancelled(BaseException):
        pass

    def cancel(progress):
        if progress.done > 100_000:
            raise Cancelled

    with pytest.raises(Cancelled):
        download(FILE, tmp_path, hub.endpoint, cancel)
    assert not FILE.place(tmp_path).exists()
    told = []
    download(FILE, tmp_path, hub.endpoint, told.append)
    first, *_, last = [progress.done for progress in told if progress.stage == "download tiny.pth"]
    assert 100_000 < first < last == len(DATA) and {progress.total for progress in told} == {len(DATA)}
    assert hub.asked[1] is not None  # resumed


def test_a_broken_file_is_replaced(hub, tmp_path):
    place = FILE.place(tmp_path)
    place.parent.mkdir()
    place.write_bytes(b"PK, torn")
    assert FILE.state([tmp_path]) == "broken"
    assert download(FILE, tmp_path, hub.endpoint).read_bytes() == DATA


def test_a_broken_download_goes_on_where_it_stopped(hub, tmp_path):
    hub.cuts = [100_000] + [0] * 50
    with pytest.raises(WeightsError, match="again to resume it") as refused:
        download(FILE, tmp_path, hub.endpoint)
    assert "\n" not in str(refused.value)
    assert not FILE.place(tmp_path).exists()
    hub.cuts, seen = [], len(hub.asked)
    place = download(FILE, tmp_path, hub.endpoint)
    assert place.read_bytes() == DATA
    (asked,) = hub.asked[seen:]
    assert asked is not None and int(asked.removeprefix("bytes=").split("-")[0]) > 90_000


@pytest.mark.parametrize("known", [False, True])
def test_a_wrong_hash_is_thrown_away(hub, tmp_path, known):
    """As the hub announces it, or as the list knows it."""
    wrong = "0" * 64
    file = replace(FILE, sha256=wrong) if known else FILE
    if not known:
        hub.hash = wrong
    with pytest.raises(WeightsError, match=f"instead of {wrong} and was deleted"):
        download(file, tmp_path, hub.endpoint)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_without_an_announced_hash_is_noted_as_such(hub, tmp_path):
    hub.hash = "abcdef"
    assert not received(download(FILE, tmp_path, hub.endpoint))["announced"]


def test_what_is_not_there_and_no_room_are_told_in_a_sentence(hub, tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="people/tiny") as refused:
        download(replace(FILE, path="elsewhere.safetensors"), tmp_path, hub.endpoint)
    assert "\n" not in str(refused.value)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(WeightsError, match="not enough disk space for tiny"):
        download(FILE, tmp_path, hub.endpoint)
    assert not hub.asked


def test_without_the_library_the_sentence_says_what_to_install_and_where_files_go(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError) as refused:
        download(FILE, tmp_path)
    assert "pip install" in str(refused.value) and FILE.url in str(refused.value)
    assert str(tmp_path / "public") in str(refused.value)


def test_the_note_keeps_what_came_before(hub, tmp_path):
    download(FILE, tmp_path, hub.endpoint)
    download(replace(FILE, name="other.pth"), tmp_path, hub.endpoint)
    noted = json.loads((tmp_path / "public" / "received.json").read_text())
    assert set(noted) == {"tiny.pth", "other.pth"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock folders")
def test_of_two_downloads_one_waits_for_the_other(hub, tmp_path, monkeypatch):
    """As two processes do: a lock belongs to the opened folder, not to the process."""
    from portraittalk.weights import download as module

    fetch, inside, together = module._fetch, [], []

    def watched(*arguments):
        inside.append(1)
        together.append(len(inside))
        try:
            return fetch(*arguments)
        finally:
            inside.pop()

    monkeypatch.setattr(module, "_fetch", watched)
    with ThreadPoolExecutor(3) as pool:
        places = list(pool.map(lambda _: download(FILE, tmp_path, hub.endpoint), range(3)))
    assert {place.read_bytes() for place in places} == {DATA}
    assert together == [1] and len(hub.asked) == 1


def test_a_folder_that_cannot_be_written_is_told(hub, tmp_path):
    (tmp_path / "public").touch()
    with pytest.raises(OutputError, match="a part of the path is a file"):
        download(FILE, tmp_path, hub.endpoint)
