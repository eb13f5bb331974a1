"""ComfyUI's front end in a browser: opened, with a workflow dropped onto it, and photographed."""

import json
import shutil
from pathlib import Path

from comfyui_harness.server import ComfyServer

ROOT = Path(__file__).resolve().parents[3]
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
PATIENCE = 60_000  # milliseconds
RUN_PATIENCE = 600_000

DROP = """([name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name, { type: "application/json" }));
    const canvas = document.querySelector("#graph-canvas");
    const place = { bubbles: true, cancelable: true, clientX: 700, clientY: 500 };
    canvas.dispatchEvent(new DragEvent("drop", { dataTransfer: files, ...place }));
}"""

RENDERERS = {"argvalues": [True, False], "ids": ["nodes 2.0", "canvas"]}


def opened(browser, server: ComfyServer):
    """The front end, ready to be used; its errors are collected in ``page.problems``."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(f"http://{server.address}")
    page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
    return page


def draw_as_html(page, on: bool) -> bool:
    """Let the front end draw nodes as HTML (Nodes 2.0) or on its canvas."""
    page.evaluate("on => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', on)", on)
    return on


def screenshot(name: str) -> Path:
    """Where a screenshot for people to look at is put."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS / f"{name}.png"


def drop(page, workflow: Path) -> None:
    page.evaluate(DROP, [workflow.name, workflow.read_text()])
    types = sorted(node["type"] for node in json.loads(workflow.read_text())["nodes"])
    page.wait_for_function("types => String(app.graph.nodes.map(n => n.type).sort()) === String(types)", arg=types)
