"""Download public weights from the Hugging Face hub: interrupted downloads resume, and hashes are checked."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import WeightsError
from ..output_files import explained, make_folder, write_text
from ..progress import Progress, ProgressCallback, ignore_progress
from .catalogue import PublicFile, is_complete, shown_size

RECEIPTS = "received.json"
UNFINISHED = ".unfinished"
HOW_TO = 'pip install "huggingface_hub>=0.26"'
CHUNK = 1 << 24  # bytes hashed at a time


def download(
    file: PublicFile, folder: Path, endpoint: str | None = None, progress: ProgressCallback = ignore_progress
) -> Path:
    """Return the path of the file in a models folder; download it if it is missing or broken.

    endpoint: URL of a mirror of the hub. progress: gets the bytes of the file that are there; what it raises ends the
    download. The SHA-256 is checked against the catalogue's, or else the one announced by the hub, and a file with
    another hash is deleted. Size, hash and revision are recorded in ``received.json`` next to the file. A partial
    download is kept and resumed by the next call. Of two processes, one waits for the other.
    Raises WeightsError if ``huggingface_hub`` is not installed, the connection fails, the disk is full or the hash is
    wrong; OutputError if the folder cannot be written.
    """
    existing = _complete(file, folder)
    if existing is not None:
        return existing
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            f"Downloads need the Hugging Face library: {HOW_TO}. Or download {file.wanted_in(folder)} yourself."
        ) from error
    unfinished = file.place(folder).parent / UNFINISHED
    make_folder(unfinished)
    with _alone_in(unfinished):
        return _complete(file, folder) or _fetch(file, file.place(folder), unfinished, endpoint, progress)


def _complete(file: PublicFile, folder: Path) -> Path | None:
    path = file.found([folder])
    return path if path is not None and is_complete(path) else None


def _fetch(file: PublicFile, place: Path, unfinished: Path, endpoint: str | None, progress: ProgressCallback) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, not re-exported

    stage = f"download {file.name}"
    try:
        metadata = get_hf_file_metadata(hf_hub_url(file.repo, file.path, endpoint=endpoint))
        part = unfinished / f"{file.name}.{metadata.etag}"  # a partial download of another version is not resumed
        with part.open("ab") as stream:
            offset = stream.tell()
            _check_free_space(file, part, (metadata.size or 0) - offset)
            # `hf_hub_download` starts from zero on every call; `http_get`, which it uses, can resume.
            url = hf_hub_url(file.repo, file.path, revision=metadata.commit_hash, endpoint=endpoint)
            counted = _Counted(stream, lambda size: progress(Progress(stage, size, max(metadata.size or size, size))))
            http_get(
                url,
                cast("BinaryIO", counted),
                resume_size=offset,
                headers=build_hf_headers(),
                expected_size=metadata.size,
            )
    except WeightsError:
        raise
    except Exception as error:  # errors of huggingface_hub and, depending on its version, httpx, requests or the OS
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise WeightsError(
            f"The download of {file.name} from {file.repo} was interrupted ({reason}); run the command again to resume "
            "it."
        ) from error
    digest = sha256_of(part, progress)
    etag_is_hash = metadata.etag and re.fullmatch("[0-9a-f]{64}", metadata.etag)
    expected = file.sha256 or (metadata.etag if etag_is_hash else None)
    if expected not in (None, digest):
        part.unlink()
        raise WeightsError(
            f"The download of {file.name} had the SHA-256 {digest} instead of {expected} and was deleted; try again."
        )
    with explained(place):
        part.replace(place)
    receipt = {"sha256": digest, "announced": expected is not None, "revision": metadata.commit_hash}
    _write_receipt(place, {"bytes": place.stat().st_size, **receipt})
    return place


class _Counted:
    """A file that reports how long it has grown with every write. All else is the file's own."""

    def __init__(self, file: BinaryIO, report: Callable[[int], None]) -> None:
        self._file, self._report = file, report

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._report(self._file.tell())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the folder, where the system can lock folders."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def received(place: Path) -> dict[str, Any]:
    """Return the record of the download of the file at ``place``; empty if ``download`` did not fetch it."""
    receipts = place.parent / RECEIPTS
    return json.loads(receipts.read_text(encoding="utf-8")).get(place.name, {}) if receipts.is_file() else {}


def sha256_of(path: Path, progress: ProgressCallback = ignore_progress) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress(Progress(f"check {path.name}", file.tell(), size))
    return digest.hexdigest()


def _write_receipt(place: Path, receipt: dict[str, Any]) -> None:
    receipts = place.parent / RECEIPTS
    known = json.loads(receipts.read_text(encoding="utf-8")) if receipts.is_file() else {}
    write_text(receipts, json.dumps(known | {place.name: receipt}, indent=1) + "\n")


def _check_free_space(file: PublicFile, part: Path, needed: int) -> None:
    shortfall = needed - shutil.disk_usage(part.parent).free
    if shortfall > 0:
        raise WeightsError(
            f"There is not enough disk space for {file.name}: free another {shown_size(shortfall / 1e6)} on the disk "
            f"of {part.parent}."
        )
