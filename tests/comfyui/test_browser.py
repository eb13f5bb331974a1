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
SCREENSHOT = ROOT / "output" / "browser.png"
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


def test_what_is_missing_is_offered_for_download(page, server: ComfyServer) -> None:
    """ComfyUI's own dialog names the public files that are not there, each with a button to get it."""
    workflow = ROOT / "example_workflows" / "echomimic.json"
    (loader,) = (n for n in json.loads(workflow.read_text())["nodes"] if n["type"].endswith("PublicModelLoader"))
    _, model = server.get(f"/object_info/{loader['type']}")[loader["type"]]["input"]["required"]["model"]
    files = (file for option in model["options"] for file in option["inputs"]["required"].values())
    there = {name for _, options in files for name in options["options"]}
    wanted = {entry["name"] for entry in loader["properties"]["models"]} - there
    drop(page, workflow)
    page.get_by_text("View details").dispatch_event("click")
    page.wait_for_function("names => names.every(n => document.body.innerText.includes(n))", arg=sorted(wanted))
    assert page.get_by_text("Download", exact=True).count() == len(wanted) > 0


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
    SCREENSHOT.parent.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOT)
    assert "filename=PortraitTalk_" in video["source"] and ".mp4" in video["source"]
    assert video["width"] >= 256 and video["seconds"] > 1
    assert page.problems == []
