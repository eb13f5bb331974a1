"""The public shape of every node: what saved workflows depend on, and what a user reads before the first run."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SNAPSHOT = Path(__file__).parent / "schemas.json"
HOW_TO_UPDATE = (
    "The schema of a node changed. A saved workflow breaks when an id, an input's name or type, or the order of outputs"
    " changes or goes away; adding optional inputs is safe. If the change is meant, write the snapshot anew with"
    " UPDATE_SCHEMAS=1 and look at its difference before committing it."
)
IDS = {
    "PortraitTalkModelLoader",
    "PortraitTalkPublicModelLoader",
    "PortraitTalkLoadAudio",
    "PortraitTalkLoadPortrait",
    "PortraitTalkIdentityEncode",
    "PortraitTalkIdentityEdit",
    "PortraitTalkTextStyleCondition",
    "PortraitTalkSpeechToMotion",
    "PortraitTalkVideoToMotion",
    "PortraitTalkCombineMotion",
    "PortraitTalkEditMotion",
    "PortraitTalkSaveMotion",
    "PortraitTalkLoadMotion",
    "PortraitTalkAnimateNetSampler",
    "PortraitTalkPasteBack",
    "PortraitTalkConversation",
    "PortraitTalkDub",
    "PortraitTalkSaveVideo",
    "PortraitTalkVideoCombine",
    "PortraitTalkEvaluate",
}


@pytest.fixture
def infos(nodes, folders) -> dict[str, Any]:
    """What ComfyUI tells its front end about each node, with empty folders."""
    return {node_id: json.loads(json.dumps(node.GET_NODE_INFO_V1())) for node_id, node in nodes.items()}


def inputs_of(info: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """(path, [type, options]) of every input, also of those that a mode shows or that grow."""

    def walk(groups: dict[str, Any], path: str) -> Iterator[tuple[str, list[Any]]]:
        for kind in ("required", "optional"):
            for name, spec in groups.get(kind, {}).items():
                yield f"{path}{name}", spec
                for option in spec[1].get("options", []) if spec[0] == "COMFY_DYNAMICCOMBO_V3" else []:
                    yield from walk(option["inputs"], f"{path}{name}={option['key']}.")
                if "template" in spec[1]:
                    yield from walk(spec[1]["template"]["input"], f"{path}{name}.")

    return walk(info["input"], "")


def test_ids(infos):
    assert set(infos) == IDS


def test_schemas_are_as_they_were(infos):
    if os.environ.get("UPDATE_SCHEMAS"):
        SNAPSHOT.write_text(json.dumps(infos, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    assert infos == json.loads(SNAPSHOT.read_text(encoding="utf-8")), HOW_TO_UPDATE


def test_every_input_and_output_is_explained(infos):
    silent = [
        f"{node_id}.{name}"
        for node_id, info in infos.items()
        for name, spec in inputs_of(info)
        if len(spec[1].get("tooltip") or "") < 10
    ]
    assert not silent
    assert not [node_id for node_id, info in infos.items() if not all(info["output_tooltips"])]


def test_every_node_can_be_found_and_read_about(infos, repository):
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (repository / "web" / "docs").glob("*.md")}
    assert set(pages) == set(infos)
    for node_id, info in infos.items():
        assert pages[node_id].startswith(f"# {info['display_name']}\n")
        assert info["category"] == "PortraitTalk" and len(info["description"]) > 40 and info["search_aliases"]


def test_every_widget_is_named_on_the_help_page(infos, repository):
    """A page that forgets an input is out of date; the seed and the sockets that explain themselves may be left out."""
    plain = {"INT", "FLOAT", "STRING", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
    for node_id, info in infos.items():
        page = (repository / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
        names = {name for name, spec in inputs_of(info) if spec[0] in plain and "=" not in name}
        assert not {name for name in names if name not in page}, node_id


def test_files_come_first_to_the_demo(infos):
    """A new node, and every example workflow, runs where the input folder is empty."""
    for node_id, name in (("PortraitTalkLoadAudio", "audio"), ("PortraitTalkLoadPortrait", "image")):
        options = infos[node_id]["input"]["required"][name][1]
        assert options["default"] == options["options"][0] and options["default"].startswith("portraittalk/demo_")
