"""What a user sees: the front end in a real browser, a workflow dropped onto it, and the video playing at the end."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_harness.server import ComfyServer
from comfyui_harness.workflow import load_prompt

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))
SCREENSHOTS = ROOT / "output" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MILLISECONDS = 600_000  # the whole demo is made

DROP = """([name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name, { type: "application/json" }));
    const canvas = document.querySelector("#graph-canvas");
    const place = { bubbles: true, cancelable: true, clientX: 700, clientY: 500 };
    canvas.dispatchEvent(new DragEvent("drop", { dataTransfer: files, ...place }));
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (on Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server: ComfyServer) -> Iterator:
    """The front end, ready to be used; its errors are collected in ``page.problems``."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(MILLISECONDS)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(f"http://{server.address}")
    page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
    yield page
    page.close()


@pytest.fixture(params=[True, False], ids=["nodes 2.0", "canvas"])
def renderer(request: pytest.FixtureRequest, page) -> bool:
    """Whether the front end draws nodes as HTML (Nodes 2.0) or on its canvas."""
    page.evaluate("on => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', on)", request.param)
    return request.param


def screenshot(name: str) -> Path:
    """Where a screenshot for people to look at is put."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS / f"{name}.png"


def drop(page, workflow: Path) -> None:
    page.evaluate(DROP, [workflow.name, workflow.read_text()])
    types = sorted(node["type"] for node in json.loads(workflow.read_text())["nodes"])
    page.wait_for_function("types => String(app.graph.nodes.map(n => n.type).sort()) === String(types)", arg=types)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_front_end_makes_the_same_prompt(page, server: ComfyServer, workflow: Path) -> None:
    """What the other tests run is what a user runs: our conversion of a saved workflow is the front end's."""
    drop(page, workflow)
    theirs = page.evaluate("async () => (await app.graphToPrompt()).output")
    for node in theirs.values():
        del node["_meta"]
    ours = load_prompt(workflow, server.object_info)
    assert {key: node["class_type"] for key, node in ours.items()} == {k: n["class_type"] for k, n in theirs.items()}
    for key, node in ours.items():
        buttons = {name for name in theirs[key]["inputs"] if name in ("upload", "audioUI")}
        assert node["inputs"] == {name: value for name, value in theirs[key]["inputs"].items() if name not in buttons}


def test_nodes_fit_into_the_layouts(page, renderer: bool) -> None:
    """Nodes are not larger than the sizes in the file, by which test_workflow_layouts.py judges the layout."""
    for workflow in WORKFLOWS:
        drop(page, workflow)
        page.wait_for_timeout(500)  # HTML is measured after it is drawn
        page.screenshot(path=screenshot(f"{workflow.stem} {'new' if renderer else 'old'}"))
        sizes = dict(page.evaluate("() => app.graph.nodes.map(node => [String(node.id), [...node.size]])"))
        for node in json.loads(workflow.read_text())["nodes"]:
            (width, height), real = node["size"], sizes[str(node["id"])]
            assert real[0] <= width + 1 and real[1] <= height + 1, f"{workflow.stem}: {node['type']}"
    assert page.problems == []


def test_links_have_colours(page) -> None:
    colors = page.evaluate("() => app.canvas.constructor.link_type_colors")
    slots = page.evaluate("() => app.canvas.default_connection_color_byType")
    kinds = ["MODEL", "IDENTITY", "STYLE", "MOTION", "CROP_DATA"]
    ours = [colors[f"PORTRAITTALK_{kind}"] for kind in kinds]
    assert len(set(ours)) == 5 and all(ours) and ours == [slots[f"PORTRAITTALK_{kind}"] for kind in kinds]


def test_missing_weights_are_told_once_on_the_loader(page, renderer: bool) -> None:
    """Opening the workflow shows no error. Running it shows one, which says how to get the files."""
    drop(page, ROOT / "example_workflows" / "echomimic.json")
    page.wait_for_timeout(500)
    errors = "() => app.graph.nodes.filter(n => n.has_errors || n.inputs.some(i => i.hasErrors)).map(n => n.type)"
    assert page.evaluate(errors) == [] and "rror" not in page.inner_text("body")
    page.get_by_test_id("queue-button").dispatch_event("click")
    page.wait_for_function("() => app.lastExecutionError")
    told = page.evaluate("() => [app.lastExecutionError.node_type, app.lastExecutionError.exception_message]")
    page.screenshot(path=screenshot(f"missing weights {'new' if renderer else 'old'}"))
    assert told[0].endswith("PublicModelLoader") and "download_missing" in told[1] and "\n" not in told[1].strip()
    assert not page.evaluate("() => app.graph.nodes.some(node => node.inputs.some(input => input.hasErrors))")


def test_dropped_workflow_runs_and_its_video_plays(page) -> None:
    drop(page, ROOT / "example_workflows" / "basic.json")
    # Not click(): where the machine is slow, the veil that covers the page while it starts can outlast every wait.
    page.get_by_test_id("queue-button").dispatch_event("click")
    page.wait_for_function(
        "() => [...document.querySelectorAll('video')].some(v => v.readyState >= 2 && v.videoWidth > 0)"
    )
    video = page.evaluate(
        """async () => {
            const video = [...document.querySelectorAll("video")].find(v => v.readyState >= 2);
            video.muted = true;
            await video.play();
            await new Promise(resolve => video.addEventListener("timeupdate", resolve, { once: true }));
            return { source: video.currentSrc, width: video.videoWidth, seconds: video.duration };
        }"""
    )
    page.screenshot(path=screenshot("basic ran"))
    assert "filename=PortraitTalk_" in video["source"] and ".mp4" in video["source"]
    assert video["width"] >= 256 and video["seconds"] > 1
    assert page.problems == []
