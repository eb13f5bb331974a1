"""Example workflows and blueprints as they look when opened: nothing overlaps, no wire runs behind a node, none is red.

Computed from the files alone. That a node really fits into its stored size is tested in a browser.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
TITLE, BADGE = 30, 20  # pixels above a node's position
FIRST_SLOT, SLOT = 14, 20  # pixels from a node's position to its slots
BEND = 0.25  # of a wire's length: how far its ends run straight
STEPS = 200
CHARACTER, LINE, PARAGRAPH, HEADING = 5.5, 13, 8, 40  # pixels of a note's text
# What every installation has: see nodes/host/demo.py. The checkpoints that Identity Edit needs are the user's own.
DEMO = {
    "PortraitTalkLoadPortrait": "portraittalk/demo_portrait.jpg",
    "PortraitTalkLoadAudio": "portraittalk/demo_speech.wav",
    "LoadVideo": "portraittalk_demo_film.mp4",
}
USERS_OWN = {"CheckpointLoaderSimple", "CLIPVisionLoader"}

Workflow = dict[str, Any]
Box = tuple[float, float, float, float]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> Workflow:
    return json.loads(request.param.read_text())


@pytest.fixture(params=[*WORKFLOWS, *BLUEPRINTS], ids=lambda path: path.stem)
def graph(request: pytest.FixtureRequest) -> Workflow:
    """A workflow, or what is inside of a blueprint, without its links to the outside."""
    saved = json.loads(request.param.read_text())
    if request.param in WORKFLOWS:
        return saved
    (inside,) = saved["definitions"]["subgraphs"]
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [[link[key] for key in keys] for link in inside["links"]]
    return {"nodes": inside["nodes"], "links": [link for link in links if link[1] > 0 and link[3] > 0]}


def box(node: dict[str, Any]) -> Box:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def wires(workflow: Workflow) -> list[tuple[int, int, list[tuple[float, float]]]]:
    """The ends of each wire and points along it, drawn as the front end draws its splines."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    drawn = []
    for _, source, output, target, number, _ in workflow["links"]:
        start, end = nodes[source], nodes[target]
        # An input with a widget lies at the widget, below all sockets.
        x0, y0 = start["pos"][0] + start["size"][0], start["pos"][1] + FIRST_SLOT + SLOT * output
        x1, y1 = end["pos"][0], end["pos"][1] + FIRST_SLOT + SLOT * number
        bend = BEND * ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        points = []
        for step in range(STEPS + 1):
            t = step / STEPS
            shares = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
            x = sum(share * value for share, value in zip(shares, (x0, x0 + bend, x1 - bend, x1), strict=True))
            points.append((x, (shares[0] + shares[1]) * y0 + (shares[2] + shares[3]) * y1))
        drawn.append((source, target, points))
    return drawn


def test_nodes_do_not_overlap(graph: Workflow) -> None:
    for one, other in combinations(graph["nodes"], 2):
        a, b = box(one), box(other)
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] + BADGE <= b[1] or b[3] + BADGE <= a[1]
        assert apart, f"{one['type']} and {other['type']}"


def test_wires_run_beside_nodes(graph: Workflow) -> None:
    nodes = {node["id"]: node for node in graph["nodes"]}
    for source, target, points in wires(graph):
        for x, y in points[2:-2]:  # the ends lie on the borders of their nodes
            for node in nodes.values():
                left, top, right, bottom = box(node)
                hidden = left < x < right and top < y < bottom
                assert not hidden, f"{nodes[source]['type']} to {nodes[target]['type']} behind {node['type']}"


def test_wires_run_from_left_to_right(graph: Workflow) -> None:
    nodes = {node["id"]: box(node) for node in graph["nodes"]}
    assert all(nodes[source][2] + 40 <= nodes[target][0] for source, target, _ in wires(graph))


def test_notes_are_as_large_as_their_text(workflow: Workflow) -> None:
    (note,) = (node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    heading, *paragraphs = note["widgets_values"][0].split("\n\n")
    width, height = note["size"]
    lines = [-(-len(text) * CHARACTER // (width - 20)) for text in paragraphs]
    needed = HEADING + sum(LINE * count + PARAGRAPH for count in lines)
    assert heading.startswith("## ") and needed <= height <= needed + 50, f"{needed} of {height}"


def test_nothing_is_missing_on_opening(workflow: Workflow) -> None:
    """Loaders hold the demo files; those of weights hold what ships, may download, or hold nothing."""
    loaders = {node["type"]: node["widgets_values"][0] for node in workflow["nodes"] if "Load" in node["type"]}
    ours = {"PortraitTalkModelLoader", "PortraitTalkPublicModelLoader"}
    assert loaders.keys() <= DEMO.keys() | USERS_OWN | ours and loaders.keys() & DEMO.keys()
    assert all(loaders[kind] == name for kind, name in DEMO.items() if kind in loaders)
    assert all(loaders[kind] == "" for kind in USERS_OWN & loaders.keys())
