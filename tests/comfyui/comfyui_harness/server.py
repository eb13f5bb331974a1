"""A real ComfyUI server with this pack in it, spoken to as its front end does: HTTP and a websocket."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from websockets.sync.client import connect

PACK = "ComfyUI-PortraitTalk"
START_SECONDS = 300
RUN_SECONDS = 600
HISTORY_SECONDS = 60
ENDINGS = ("execution_success", "execution_error", "execution_interrupted")


class NodeError(Exception):
    """A prompt that was refused, or a node that failed. ``str()`` is what the user reads on the node."""

    def __init__(self, node_type: str, message: str) -> None:
        super().__init__(message)
        self.node_type = node_type


@dataclass(frozen=True)
class Event:
    """A message of the server. at: time.monotonic() of its arrival."""

    type: str
    data: dict[str, Any]
    at: float


@dataclass(frozen=True)
class Resources:
    """What the server holds. memory: resident, in bytes. temporary: unfinished files, and the samplers' videos."""

    memory: int
    handles: int
    threads: int
    temporary: int


@dataclass
class Run:
    """A prompt that has ended. outputs: node id -> what the node showed. previews: pictures sent while it worked."""

    prompt_id: str
    events: list[Event] = field(default_factory=list)
    previews: int = 0
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ending(self) -> Event:
        return self.events[-1]

    def shown(self, node_id: str, folder: Path) -> list[Path]:
        """The files in ``folder`` that an output node showed."""
        entries = self.outputs[node_id]["images"]
        return [folder / entry["subfolder"] / entry["filename"] for entry in entries]


class ComfyServer:
    """Starts ComfyUI on a free port with a base directory ``folder``; ``stop`` ends it, ``kill`` as a crash does."""

    def __init__(self, comfyui: Path, pack: Path, folder: Path) -> None:
        self.base = folder
        self.log_path = folder / "server.log"
        for name in ("custom_nodes", "input", "output", "temp", "models/portraittalk", "user/default"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not (folder / "custom_nodes" / PACK).exists():
            (folder / "custom_nodes" / PACK).symlink_to(pack, target_is_directory=True)
        # Else the first visit of the front end opens a dialog over the canvas.
        (folder / "user/default/comfy.settings.json").write_text('{"Comfy.TutorialCompleted": true}')
        self.address = f"127.0.0.1:{_free_port()}"
        host, port = self.address.split(":")
        options = ["--cpu", "--base-directory", str(folder), "--listen", host, "--port", port, "--disable-auto-launch"]
        options += ["--disable-api-nodes", "--database-url", "sqlite:///:memory:"]
        with open(self.log_path, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "main.py", *options], cwd=comfyui, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._wait_until_up()
        self.object_info: dict[str, Any] = self.get("/object_info")

    @property
    def output(self) -> Path:
        return self.base / "output"

    @property
    def input(self) -> Path:
        return self.base / "input"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def files(self) -> set[Path]:
        """Everything in the folders that nodes write to."""
        return {path for name in ("output", "temp") for path in (self.base / name).rglob("*") if path.is_file()}

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as reply:
            body = reply.read()
            return json.loads(body) if "json" in reply.headers.get("Content-Type", "") else body.decode()

    def post(self, path: str, data: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}{path}", json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            body = reply.read()
            return json.loads(body) if body else None

    def interrupt(self) -> None:
        """What the Cancel button does."""
        self.post("/interrupt", {})

    def run(self, prompt: dict[str, Any], watch: Callable[[Event], None] = lambda event: None) -> Run:
        """Queue a prompt in API format and wait for its end. ``watch`` sees every event as it comes.

        Raises NodeError when the prompt is refused or a node fails.
        """
        client = uuid.uuid4().hex
        # Without pings: on a busy machine, answers to them may come later than the connection would wait.
        address = f"ws://{self.address}/ws?clientId={client}"
        with connect(address, max_size=None, open_timeout=30, ping_interval=None) as messages:
            run = Run(self._queue(prompt, client))
            deadline = time.monotonic() + RUN_SECONDS
            while not run.events or run.ending.type not in ENDINGS:
                message = messages.recv(timeout=deadline - time.monotonic())
                if isinstance(message, bytes):
                    run.previews += 1
                    continue
                content = json.loads(message)
                event = Event(content["type"], content["data"], time.monotonic())
                if event.data.get("prompt_id") == run.prompt_id:
                    run.events.append(event)
                    watch(event)
        if run.ending.type == "execution_error":
            raise NodeError(run.ending.data["node_type"], run.ending.data["exception_message"].strip())
        run.outputs = self._history(run.prompt_id)["outputs"]
        return run

    def _history(self, prompt_id: str) -> dict[str, Any]:
        """What the server kept of a prompt that ended; it says that it ended a moment before it keeps that."""
        deadline = time.monotonic() + HISTORY_SECONDS
        while prompt_id not in (history := self.get(f"/history/{prompt_id}")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"ComfyUI kept no history of {prompt_id}.")
            time.sleep(0.05)
        return history[prompt_id]

    def seconds_computed(self) -> float:
        """Seconds of processor time that the server has used so far, all its threads together."""
        spent = psutil.Process(self._process.pid).cpu_times()
        return spent.user + spent.system

    def resources(self) -> Resources:
        process = psutil.Process(self._process.pid)
        unwritten = [path for path in self.base.rglob("*.part") if "custom_nodes" not in path.parts]
        temporary = len(unwritten) + len(list((self.base / "temp").glob("PortraitTalk_*")))
        handles = process.num_handles() if sys.platform == "win32" else process.num_fds()
        return Resources(process.memory_info().rss, handles, process.num_threads(), temporary)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _queue(self, prompt: dict[str, Any], client: str) -> str:
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": client})["prompt_id"]
        except urllib.error.HTTPError as refusal:
            reply = json.load(refusal)
        for problem in reply["node_errors"].values():
            raise NodeError(problem["class_type"], problem["errors"][0]["details"])
        raise NodeError("", reply["error"]["message"])

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.get("/system_stats")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"ComfyUI did not start:\n{self.log[-4000:]}") from None
                time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
