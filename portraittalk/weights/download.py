"""Download public weights from the Hugging Face hub: interrupted downloads resume, and hashes are checked."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from .catalogue import PublicFile, is_complete, shown_size

RECEIPTS = "received.json"
UNFINISHED = ".unfinished"
HOW_TO = 'pip install "huggingface_hub>=0.26"'
CHUNK = 1 << 24  # bytes hashed at a time


def download(file: PublicFile, folder: Path, endpoint: str | None = None) -> Path:
    """Return the path of the file in a models folder; download it if it is missing or broken.

    endpoint: URL of a mirror of the hub. The SHA-256 is checked against the catalogue's, or else the one announced by
    the hub, and a file with another hash is deleted. Size, hash and revision are recorded in ``received.json`` next to
    the file. A partial download is kept and resumed by the next call.
    Raises WeightsError if ``huggingface_hub`` is not installed, the connection fails, the disk is full or the hash is
    wrong.
    """
    existing = file.found([folder])
    if existing is not None and is_complete(existing):
        return existing
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, not re-exported
    except ImportError as error:
        raise WeightsError(
            f"Downloads need the Hugging Face library: {HOW_TO}. Or download {file.wanted_in(folder)} yourself."
        ) from error
    place = file.place(folder)
    unfinished = place.parent / UNFINISHED
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        metadata = get_hf_file_metadata(hf_hub_url(file.repo, file.path, endpoint=endpoint))
        part = unfinished / f"{file.name}.{metadata.etag}"  # a partial download of another version is not resumed
        with part.open("ab") as stream:
            offset = stream.tell()
            _check_free_space(file, part, (metadata.size or 0) - offset)
            # `hf_hub_download` starts from zero on every call; `http_get`, which it uses, can resume.
            url = hf_hub_url(file.repo, file.path, revision=metadata.commit_hash, endpoint=endpoint)
            http_get(url, stream, resume_size=offset, headers=build_hf_headers(), expected_size=metadata.size)
    except WeightsError:
        raise
    except Exception as error:  # errors of huggingface_hub and, depending on its version, httpx, requests or the OS
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise WeightsError(
            f"The download of {file.name} from {file.repo} was interrupted ({reason}); run the command again to resume "
            "it."
        ) from error
    digest = sha256_of(part)
    etag_is_hash = metadata.etag and re.fullmatch("[0-9a-f]{64}", metadata.etag)
    expected = file.sha256 or (metadata.etag if etag_is_hash else None)
    if expected not in (None, digest):
        part.unlink()
        raise WeightsError(
            f"The download of {file.name} had the SHA-256 {digest} instead of {expected} and was deleted; try again."
        )
    part.replace(place)
    receipt = {"sha256": digest, "announced": expected is not None, "revision": metadata.commit_hash}
    _write_receipt(place, {"bytes": place.stat().st_size, **receipt})
    return place


def received(place: Path) -> dict[str, Any]:
    """Return the record of the download of the file at ``place``; empty if ``download`` did not fetch it."""
    receipts = place.parent / RECEIPTS
    return json.loads(receipts.read_text(encoding="utf-8")).get(place.name, {}) if receipts.is_file() else {}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _write_receipt(place: Path, receipt: dict[str, Any]) -> None:
    receipts = place.parent / RECEIPTS
    known = json.loads(receipts.read_text(encoding="utf-8")) if receipts.is_file() else {}
    receipts.write_text(json.dumps(known | {place.name: receipt}, indent=1) + "\n", encoding="utf-8")


def _check_free_space(file: PublicFile, part: Path, needed: int) -> None:
    shortfall = needed - shutil.disk_usage(part.parent).free
    if shortfall > 0:
        raise WeightsError(
            f"There is not enough disk space for {file.name}: free another {shown_size(shortfall / 1e6)} on the disk "
            f"of {part.parent}."
        )
