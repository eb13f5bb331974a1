"""Workflows as the front end saves them, turned into prompts as the server takes them."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

Prompt = dict[str, dict[str, Any]]
ALWAYS = 0  # a node's mode; others are muted or bypassed


def load_prompt(path: Path, object_info: dict[str, Any]) -> Prompt:
    """A saved workflow in API format: node id -> {class_type, inputs}. Notes are left out, as the front end does."""
    workflow = json.loads(path.read_text())
    nodes = [node for node in workflow["nodes"] if node["type"] in object_info]
    assert all(node["mode"] == ALWAYS for node in nodes), "muted and bypassed nodes are not converted here"
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    return {
        str(node["id"]): {"class_type": node["type"], "inputs": _inputs(node, object_info[node["type"]], sources)}
        for node in nodes
    }


def _inputs(node: dict[str, Any], info: dict[str, Any], sources: dict[int, list[Any]]) -> dict[str, Any]:
    """Names and values of a node's widgets, in their order, and its links, which go before a widget's value."""
    specs = {name: spec for group in info["input"].values() for name, spec in group.items()}
    values = iter(node.get("widgets_values", []))
    inputs: dict[str, Any] = {}
    for entry in node["inputs"]:
        name = entry["name"]
        if "widget" in entry:
            value = next(values)
            if name.split(".")[0] in specs:  # else a button, such as that of an upload
                inputs[name] = value
            if any(options.get("control_after_generate") for options in specs.get(name, ())[1:]):
                next(values)
        if entry.get("link") is not None:
            inputs[name] = sources[entry["link"]]
    return inputs


def only(prompt: Prompt, class_type: str) -> str:
    """The id of the one node of this type."""
    (found,) = (key for key, node in prompt.items() if node["class_type"] == class_type)
    return found


def changed(prompt: Prompt, changes: dict[str, dict[str, Any]]) -> Prompt:
    """A copy with other inputs: {class_type: {input: value}}; the value None takes the input away."""
    copy = deepcopy(prompt)
    for class_type, inputs in changes.items():
        node = copy[only(copy, class_type)]
        merged = {**node["inputs"], **inputs}
        node["inputs"] = {name: value for name, value in merged.items() if value is not None}
    return copy
