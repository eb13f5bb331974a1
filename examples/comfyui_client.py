"""Use a running ComfyUI as a server: send it a portrait and a speech, follow its progress, and fetch the video.

pip install websockets
python examples/comfyui_client.py portrait.jpg speech.wav talking.mp4 --server 127.0.0.1:8188

Nothing else of this repository is needed here. The workflow below is what ComfyUI's menu *Export (API)* writes; put one
of your own in its place.
"""

import argparse
import json
import mimetypes
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

MODEL, PORTRAIT, SPEECH, PERSON, STYLE, FRAMES, VIDEO = (str(number) for number in range(1, 8))
WORKFLOW: dict[str, dict[str, Any]] = {
    MODEL: {"class_type": "PortraitTalkModelLoader", "inputs": {"model": "mini (built in)"}},
    PORTRAIT: {"class_type": "LoadImage", "inputs": {"image": ""}},
    SPEECH: {"class_type": "PortraitTalkLoadAudio", "inputs": {"audio": "", "start": 0.0, "duration": 0.0}},
    PERSON: {
        "class_type": "PortraitTalkIdentityEncode",
        "inputs": {
            "model": [MODEL, 0],
            "references.reference0": [PORTRAIT, 0],
            "face": "largest face",
            "max_side": 2048,
        },
    },
    STYLE: {
        "class_type": "PortraitTalkTextStyleCondition",
        "inputs": {
            "model": [MODEL, 0],
            "prompt": "",
            "negative_prompt": "",
            "text_scale": 1.0,
            "guidance_scale": 1.0,
        },
    },
    FRAMES: {
        "class_type": "PortraitTalkAnimateNetSampler",
        "inputs": {
            "model": [MODEL, 0],
            "identity": [PERSON, 0],
            "audio": [SPEECH, 0],
            "style": [STYLE, 0],
            "seed": 0,
            "steps": 0,
            "fps": 25.0,
            "output": "video file",
            "identity_scale": 1.0,
            "audio_scale": 1.0,
            "structure_scale": 1.0,
            "window": 12,
            "overlap": -1,
        },
    },
    VIDEO: {
        "class_type": "PortraitTalkSaveVideo",
        "inputs": {
            "video": [FRAMES, 1],
            "fps": 25.0,
            "format": "mp4",
            "format.quality": 80,
            "filename_prefix": "video/PortraitTalk",
        },
    },
}


class Server:
    """A ComfyUI, spoken to as its front end does. Errors end the script with a sentence."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = uuid.uuid4().hex  # the server sends this client what concerns its own prompts

    def upload(self, path: Path) -> str:
        """Put a file into ComfyUI's input folder, under a name of its own, and return that name."""
        boundary, kind = uuid.uuid4().hex, mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        # A random folder: nobody else's file of this name is replaced.
        fields = {"subfolder": uuid.uuid4().hex, "type": "input"}
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="file{path.suffix}"\r\n'
        body = f"{head}Content-Type: {kind}\r\n\r\n".encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self._json("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return f"{answer['subfolder']}/{answer['name']}"

    def run(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """Queue a workflow, print its progress, and return what its nodes have shown: node id -> results."""
        address = f"ws://{self._address}/ws?clientId={self._client}"
        with connect(address, max_size=None) as messages:  # before the prompt: no message is missed
            question = json.dumps({"prompt": workflow, "client_id": self._client}).encode()
            prompt = self._json("/prompt", question, "application/json")["prompt_id"]
            for message in messages:
                if isinstance(message, bytes):  # a preview, or text on a node
                    continue
                event = json.loads(message)
                kind, data = event["type"], event["data"]
                if data.get("prompt_id") != prompt:
                    continue
                if kind == "executing" and data["node"] is not None:
                    print(workflow[data["node"]]["class_type"], file=sys.stderr)
                elif kind == "progress":
                    print(f"  {data['value']} of {data['max']}", end="\r", file=sys.stderr)
                elif kind == "execution_error":
                    sys.exit(f"{data['node_type']}: {data['exception_message'].strip()}")
                elif kind == "execution_interrupted":
                    sys.exit("Somebody has cancelled the run in ComfyUI.")
                elif kind == "execution_success":
                    break
            else:
                sys.exit("ComfyUI has ended before the video was finished; queue it again.")
        return self._history(prompt)

    def fetch(self, file: dict[str, str], place: Path) -> None:
        """Write a file that a node has shown, in pieces: it may be large."""
        part = place.with_name(f"{place.name}.part")
        address = f"http://{self._address}/view?{urllib.parse.urlencode(file)}"
        with urllib.request.urlopen(address) as answer, part.open("wb") as copy:
            shutil.copyfileobj(answer, copy)
        part.replace(place)

    def _history(self, prompt: str) -> dict[str, Any]:
        while True:  # the server tells that a prompt has ended a moment before it stores its results
            history = self._json(f"/history/{prompt}")
            if prompt in history:
                return history[prompt]["outputs"]
            time.sleep(0.1)

    def _json(self, path: str, body: bytes | None = None, kind: str = "") -> Any:
        headers = {"Content-Type": kind} if kind else {}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"http://{self._address}{path}", body, headers)
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            if path != "/prompt" or refusal.code != 400:
                sys.exit(f"ComfyUI at {self._address} refused {path}: {refusal}")
            problems = json.load(refusal)["node_errors"].values()
            sys.exit("\n".join(f"{one['class_type']}: {one['errors'][0]['details']}" for one in problems))
        except urllib.error.URLError as error:
            sys.exit(f"There is no ComfyUI at {self._address} ({error.reason}): start it, or give another --server.")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("portrait", type=Path)
parser.add_argument("speech", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--server", default="127.0.0.1:8188")
parser.add_argument("--prompt", default="", help="what the face should do")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--seconds", type=float, default=0.0, help="use only the first seconds of the speech")
arguments = parser.parse_args()

server = Server(arguments.server)
WORKFLOW[PORTRAIT]["inputs"]["image"] = server.upload(arguments.portrait)
WORKFLOW[SPEECH]["inputs"].update(audio=server.upload(arguments.speech), duration=arguments.seconds)
WORKFLOW[STYLE]["inputs"]["prompt"] = arguments.prompt
WORKFLOW[FRAMES]["inputs"]["seed"] = arguments.seed
(shown,) = server.run(WORKFLOW)[VIDEO]["images"]
server.fetch(shown, arguments.out)
print(arguments.out)
