"""The pack as ComfyUI sees it after start-up."""

import subprocess
import sys

import pytest
from comfyui_harness.server import PACK, ComfyServer

NODES = (
    "PortraitTalkModelLoader",
    "PortraitTalkLoadAudio",
    "PortraitTalkLoadPortrait",
    "PortraitTalkIdentityEncode",
    "PortraitTalkIdentityEdit",
    "PortraitTalkTextStyleCondition",
    "PortraitTalkSpeechToMotion",
    "PortraitTalkAnimateNetSampler",
    "PortraitTalkPasteBack",
    "PortraitTalkSaveVideo",
)


@pytest.mark.parametrize("node", NODES)
def test_node_is_offered(server: ComfyServer, node: str) -> None:
    assert server.object_info[node]["category"] == "PortraitTalk"


def test_node_has_a_help_page(server: ComfyServer) -> None:
    ours = [name for name in server.object_info if name.startswith("PortraitTalk")]
    assert len(ours) >= len(NODES)
    for name in ours:
        assert len(server.get(f"/extensions/{PACK}/docs/{name}.md")) > 200, name


def test_front_end_loads_the_extension(server: ComfyServer) -> None:
    scripts = [path for path in server.get("/extensions") if PACK in path]
    assert scripts
    for path in scripts:
        assert server.get(path)


def test_start_up_logs_nothing_about_the_pack(server: ComfyServer) -> None:
    start = server.log.split("Starting server")[0]
    loading = [line for line in start.splitlines() if PACK in line]
    (timing,) = loading
    assert timing.endswith(f"custom_nodes/{PACK}") and "FAILED" not in timing
    assert "Traceback" not in start


def test_packages_agree_after_our_requirements() -> None:
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert [line for line in check.stdout.splitlines() if " requires " in line] == []


def test_custom_model_folder_is_listed(server: ComfyServer) -> None:
    (server.base / "models/portraittalk/mine.safetensors").write_bytes(b"not read when listed")
    (server.base / "models/portraittalk/mine.ckpt").write_bytes(b"never offered")
    offered = str(server.get("/object_info/PortraitTalkModelLoader"))
    assert "mine.safetensors" in offered and "mine.ckpt" not in offered
