"""A small server that speaks as the Hugging Face hub does."""

import hashlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """What the server does. files: "owner/name/path" -> content. hash: announced instead of the true one. cuts: bytes
    after which its connections end, one after the other. asked: the Range headers of its downloads."""

    files: dict[str, bytes] = field(default_factory=dict)
    hash: str | None = None
    cuts: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    endpoint: str = ""


@pytest.fixture
def hub(monkeypatch):
    served = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            data = self.wanted()
            if data is not None:
                self.answer(200, data, len(data))

        def do_GET(self):
            data = self.wanted()
            if data is None:
                return
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
            part = data[start:]
            self.answer(206 if wanted else 200, data, len(part), start)
            if served.cuts:
                self.wfile.write(part[: served.cuts.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(part)

        def wanted(self):
            repo, _, rest = self.path.lstrip("/").partition("/resolve/")
            data = served.files.get(f"{repo}/{rest.partition('/')[2]}")
            if data is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
            return data

        def answer(self, status, data, length, start=0):
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.send_header("Accept-Ranges", "bytes")
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("ETag", f'"{served.hash or hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    pytest.importorskip("huggingface_hub")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    served.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits between its tries
    yield served
    server.shutdown()
