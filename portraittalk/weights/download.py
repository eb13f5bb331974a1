"""Public weights from the Hugging Face hub: taken up where they were broken off, and checked by their hash."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from .catalogue import PublicFile, is_whole, shown_size

RECEIPTS = "received.json"
UNFINISHED = ".unfinished"
HOW_TO = 'pip install "huggingface_hub>=0.26"'
PIECE = 1 << 24  # bytes that are hashed at a time


def download(file: PublicFile, folder: Path, endpoint: str | None = None) -> Path:
    """The file in a folder of models; downloaded where it is not there, or broken. endpoint: of a mirror of the hub.

    Its hash is that of the list, or else the one that the hub announces; what does not have it is thrown away. What
    came is written down in ``received.json`` beside it. Raises WeightsError: no ``huggingface_hub``, no connection, too
    little room, a wrong hash. What a broken connection has left is kept, for the next call.
    """
    there = file.found([folder])
    if there is not None and is_whole(there):
        return there
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, not re-exported
    except ImportError as error:
        raise WeightsError(
            f"Downloads need the Hugging Face library: {HOW_TO}. Or get {file.wanted_in(folder)} yourself."
        ) from error
    place = file.place(folder)
    unfinished = place.parent / UNFINISHED
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        told = get_hf_file_metadata(hf_hub_url(file.repo, file.path, endpoint=endpoint), endpoint=endpoint)
        part = unfinished / f"{file.name}.{told.etag}"  # what was begun of another version is not gone on with
        with part.open("ab") as stream:
            begun = stream.tell()
            _check_room(file, part, (told.size or 0) - begun)
            # `hf_hub_download` begins anew each time it is called; what it downloads with does not.
            url = hf_hub_url(file.repo, file.path, revision=told.commit_hash, endpoint=endpoint)
            http_get(url, stream, resume_size=begun, headers=build_hf_headers(), expected_size=told.size)
    except WeightsError:
        raise
    except Exception as error:  # the hub's own, and by its version those of httpx, requests or the system
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise WeightsError(
            f"{file.name} did not come whole from {file.repo} ({reason}); give the command again, it goes on where it "
            "stopped."
        ) from error
    digest = sha256_of(part)
    wanted = file.sha256 or (told.etag if told.etag and re.fullmatch("[0-9a-f]{64}", told.etag) else None)
    if wanted not in (None, digest):
        part.unlink()
        raise WeightsError(f"{file.name} came with the SHA-256 {digest} instead of {wanted}: it was thrown away.")
    part.replace(place)
    receipt = {"sha256": digest, "announced": wanted is not None, "revision": told.commit_hash}
    _note(place, {"bytes": place.stat().st_size, **receipt})
    return place


def received(place: Path) -> dict[str, Any]:
    """What was written down when the file at ``place`` came; empty where it did not come by ``download``."""
    receipts = place.parent / RECEIPTS
    return json.loads(receipts.read_text(encoding="utf-8")).get(place.name, {}) if receipts.is_file() else {}


def sha256_of(path: Path) -> str:
    """Of a whole file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _note(place: Path, receipt: dict[str, Any]) -> None:
    receipts = place.parent / RECEIPTS
    known = json.loads(receipts.read_text(encoding="utf-8")) if receipts.is_file() else {}
    receipts.write_text(json.dumps(known | {place.name: receipt}, indent=1) + "\n", encoding="utf-8")


def _check_room(file: PublicFile, part: Path, wanted: int) -> None:
    lacking = wanted - shutil.disk_usage(part.parent).free
    if lacking > 0:
        raise WeightsError(
            f"There is no room for {file.name}: {shown_size(lacking / 1e6)} more are needed where {part.parent} lies."
        )
