"""What a user sees: the front end in a real browser, a workflow dropped onto it, and the video playing at the end."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer
from comfyui_harness.workflow import load_prompt, only
from PIL import Image

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
PATIENCE = 60_000  # milliseconds
RUN_PATIENCE = 600_000

DROP = """([name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name, { type: "application/json" }));
    const canvas = document.querySelector("#graph-canvas");
    const place = { bubbles: true, cancelable: true, clientX: 700, clientY: 500 };
    canvas.dispatchEvent(new DragEvent("drop", { dataTransfer: files, ...place }));
}"""

ERRORS = "() => app.graph.nodes.filter(n => n.has_errors || n.inputs.some(i => i.hasErrors)).map(n => n.type)"

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


def opened(browser, server: ComfyServer):
    """The front end, ready to be used; its errors are collected in ``page.problems``."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(f"http://{server.address}")
    page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
    return page


@pytest.fixture(scope="module")
def gallery(browser, server: ComfyServer) -> Iterator:
    """A page on which all workflows are opened, one after the other: the front end needs seconds to load."""
    page = opened(browser, server)
    yield page
    page.close()


@pytest.fixture(scope="module")
def shared_page(browser, server: ComfyServer) -> Iterator:
    page = opened(browser, server)
    yield page
    page.close()


@pytest.fixture
def page(shared_page):
    """A page for all tests that begin with a workflow of their own, which lacks nothing: what is missing opens a dialog
    over the canvas."""
    shared_page.problems.clear()
    shared_page.mouse.move(0, 0)
    return shared_page


@pytest.fixture
def fresh_page(browser, server: ComfyServer) -> Iterator:
    """A page of its own, for what former runs would be mistaken for, or what changes more than the workflow."""
    page = opened(browser, server)
    yield page
    page.close()


def draw_as_html(page, on: bool) -> bool:
    """Let the front end draw nodes as HTML (Nodes 2.0) or on its canvas."""
    page.evaluate("on => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', on)", on)
    return on


RENDERERS = {"argvalues": [True, False], "ids": ["nodes 2.0", "canvas"]}


@pytest.fixture(params=RENDERERS["argvalues"], ids=RENDERERS["ids"])
def renderer(request: pytest.FixtureRequest, page) -> bool:
    """Whether the nodes of ``page`` are HTML."""
    return draw_as_html(page, request.param)


def screenshot(name: str) -> Path:
    """Where a screenshot for people to look at is put."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS / f"{name}.png"


def drop(page, workflow: Path) -> None:
    page.evaluate(DROP, [workflow.name, workflow.read_text()])
    types = sorted(node["type"] for node in json.loads(workflow.read_text())["nodes"])
    page.wait_for_function("types => String(app.graph.nodes.map(n => n.type).sort()) === String(types)", arg=types)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_front_end_makes_the_same_prompt(gallery, server: ComfyServer, workflow: Path) -> None:
    """What the other tests run is what a user runs: our conversion of a saved workflow is the front end's."""
    drop(gallery, workflow)
    theirs = gallery.evaluate("async () => (await app.graphToPrompt()).output")
    for node in theirs.values():
        del node["_meta"]
    ours = load_prompt(workflow, server.object_info)
    assert {key: node["class_type"] for key, node in ours.items()} == {k: n["class_type"] for k, n in theirs.items()}
    for key, node in ours.items():
        buttons = {name for name in theirs[key]["inputs"] if name in ("upload", "audioUI")}
        assert node["inputs"] == {name: value for name, value in theirs[key]["inputs"].items() if name not in buttons}


@pytest.mark.parametrize("html", **RENDERERS)
def test_nodes_fit_into_the_layouts(gallery, html: bool) -> None:
    """Nodes are not larger than the sizes in the file, by which test_workflow_layouts.py judges the layout, nor red."""
    draw_as_html(gallery, html)
    gallery.problems.clear()
    for workflow in WORKFLOWS:
        drop(gallery, workflow)
        gallery.wait_for_timeout(500)  # HTML is measured after it is drawn
        gallery.screenshot(path=screenshot(f"{workflow.stem} {'new' if html else 'old'}"))
        sizes = dict(gallery.evaluate("() => app.graph.nodes.map(node => [String(node.id), [...node.size]])"))
        for node in json.loads(workflow.read_text())["nodes"]:
            (width, height), real = node["size"], sizes[str(node["id"])]
            assert real[0] <= width + 1 and real[1] <= height + 1, f"{workflow.stem}: {node['type']}"
        told = gallery.inner_text("body")
        assert gallery.evaluate(ERRORS) == [] and "Missing" not in told and "input missing" not in told, workflow.stem
    assert gallery.problems == []


@pytest.mark.parametrize("name", ["format.quality", "fps"])
def test_tooltips_are_shown(page, renderer: bool, name: str) -> None:
    """Also of an input that a mode shows, of which the front end knows by locales/en alone."""
    drop(page, ROOT / "example_workflows" / "basic.json")
    english = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    tooltip = english["PortraitTalkSaveVideo"]["inputs"][name.replace(".", "_")]["tooltip"]
    if renderer:
        label = name.rpartition(".")[2]
        page.locator(".lg-node", has_text="PortraitTalk Save Video").get_by_text(label, exact=True).first.hover()
    else:
        page.evaluate("() => app.canvas.ds.reset()")
        page.wait_for_timeout(500)  # until it is drawn
        place = page.evaluate(
            """name => {
                const node = app.graph.nodes.find(node => node.type === "PortraitTalkSaveVideo");
                const y = node.widgets.find(widget => widget.name === name).last_y;
                return app.canvasPosToClientPos([node.pos[0] + 100, node.pos[1] + y + 10]);
            }""",
            name,
        )
        page.mouse.move(*place)
        page.wait_for_timeout(100)
        page.mouse.move(place[0] + 2, place[1])
    page.get_by_text(tooltip).wait_for(timeout=20_000)


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_nodes_speak_the_language_of_the_settings(fresh_page, language: str) -> None:
    """Titles, names of inputs and tooltips; of our languages, this front end does not offer German."""
    page = fresh_page
    texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    save = texts["PortraitTalkSaveVideo"]
    choose = "language => app.ui.settings.setSettingValueAsync('Comfy.Locale', language)"
    page.evaluate("() => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', true)")
    page.evaluate(choose, language)
    try:
        page.reload()
        page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
        drop(page, ROOT / "example_workflows" / "basic.json")
        node = page.locator(".lg-node", has_text=save["display_name"])
        node.get_by_text(save["inputs"]["filename_prefix"]["name"], exact=True).first.hover()
        page.get_by_text(save["inputs"]["filename_prefix"]["tooltip"]).wait_for(timeout=20_000)
    finally:
        page.evaluate(choose, "en")


def test_pictures_of_the_help_fit_into_its_panel(page, renderer: bool) -> None:
    drop(page, ROOT / "example_workflows" / "dubbing.json")
    page.wait_for_function(  # again and again: opening a workflow takes the selection away
        """() => {
            app.canvas.selectNode(app.graph.nodes.find(node => node.type === "PortraitTalkDub"));
            return document.querySelector("[data-testid=info-button]");
        }"""
    )
    page.get_by_test_id("info-button").dispatch_event("click")
    page.wait_for_function("() => document.querySelector('.node-help-content img')?.naturalWidth > 0")
    right = "name => document.querySelector(name).getBoundingClientRect().right"
    assert page.evaluate(right, ".node-help-content img") <= page.evaluate(right, ".node-help-content") + 1
    page.screenshot(path=screenshot(f"help {'new' if renderer else 'old'}"))


AROUND_A_BLUEPRINT = """blueprint => {
    app.loadGraphData(blueprint).then(() => {
        const graph = app.graph, [talks] = graph.nodes;
        const [portrait, speech, save] = ["LoadPortrait", "LoadAudio", "SaveVideo"].map(name => {
            const node = LiteGraph.createNode(`PortraitTalk${name}`);
            graph.add(node);
            return node;
        });
        speech.widgets.find(widget => widget.name === "duration").value = 0.4;
        portrait.connect(0, talks, 0);
        speech.connect(0, talks, 1);
        talks.connect(0, save, 0);
    });
}"""


@pytest.mark.parametrize(("blueprint", "enlarged"), [("Portrait talks", 1), ("Talking crop, upscaled", 1.5)])
def test_blueprints_need_four_nodes_and_three_links(page, server: ComfyServer, blueprint: str, enlarged: float) -> None:
    listed = {entry["name"] for entry in server.get("/global_subgraphs").values() if "Portrait" in str(entry["info"])}
    assert listed == {"Portrait talks", "Talking crop, upscaled"}
    page.evaluate(AROUND_A_BLUEPRINT, json.loads((ROOT / "subgraphs" / f"{blueprint}.json").read_text()))
    page.wait_for_function("() => app.graph.nodes.length === 4 && app.graph.links.size === 3")
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    for node in prompt.values():
        node["inputs"] = {name: value for name, value in node["inputs"].items() if name not in ("upload", "audioUI")}
    (path,) = server.run(prompt).shown(only(prompt, "PortraitTalkSaveVideo"), server.output)
    movie = read_movie(path)
    assert movie.frames.shape[:3] == (10, 768 * enlarged, 768 * enlarged) and movie.sound is not None


def test_basic_workflow_is_an_app_too(fresh_page) -> None:
    page = fresh_page
    drop(page, ROOT / "example_workflows" / "basic.json")
    page.wait_for_timeout(1000)  # the front end goes back to the graph when a workflow has been opened
    page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
    texts = "() => [...document.querySelectorAll('body *')].map(e => e.children.length ? '' : e.textContent.trim())"
    page.get_by_text("App Mode", exact=True).first.wait_for()
    assert {"image", "audio", "start", "duration"} <= set(page.evaluate(texts))
    page.screenshot(path=screenshot("app"))


def test_links_have_colours(page) -> None:
    colors = page.evaluate("() => app.canvas.constructor.link_type_colors")
    slots = page.evaluate("() => app.canvas.default_connection_color_byType")
    kinds = ["MODEL", "IDENTITY", "STYLE", "MOTION", "CROP_DATA"]
    ours = [colors[f"PORTRAITTALK_{kind}"] for kind in kinds]
    assert len(set(ours)) == 5 and all(ours) and ours == [slots[f"PORTRAITTALK_{kind}"] for kind in kinds]


@pytest.mark.parametrize("html", **RENDERERS)
def test_missing_weights_are_told_once_on_the_loader(fresh_page, html: bool) -> None:
    """Opening the workflow shows no error. Running it shows one, which says how to get the files."""
    page = fresh_page
    draw_as_html(page, html)
    drop(page, ROOT / "example_workflows" / "echomimic.json")
    page.wait_for_timeout(500)
    assert page.evaluate(ERRORS) == [] and "rror" not in page.inner_text("body")
    page.get_by_test_id("queue-button").dispatch_event("click")
    page.wait_for_function("() => app.lastExecutionError")
    told = page.evaluate("() => [app.lastExecutionError.node_type, app.lastExecutionError.exception_message]")
    page.screenshot(path=screenshot(f"missing weights {'new' if html else 'old'}"))
    assert told[0].endswith("PublicModelLoader") and "download_missing" in told[1] and "\n" not in told[1].strip()
    assert not page.evaluate("() => app.graph.nodes.some(node => node.inputs.some(input => input.hasErrors))")


def test_dropped_workflow_runs_and_its_video_plays(fresh_page) -> None:
    page = fresh_page
    page.evaluate("() => app.ui.settings.setSettingValueAsync('Comfy.Minimap.Visible', false)")  # hides the video
    drop(page, ROOT / "example_workflows" / "basic.json")
    page.evaluate(
        "() => { app.graph.nodes.find(node => node.type === 'PortraitTalkLoadAudio')"
        ".widgets.find(widget => widget.name === 'duration').value = 1.2; }"
    )
    # Not click(): where the machine is slow, the veil that covers the page while it starts can outlast every wait.
    page.get_by_test_id("queue-button").dispatch_event("click")
    page.wait_for_function(
        "() => [...document.querySelectorAll('video')].some(v => v.readyState >= 2 && v.videoWidth > 0)",
        timeout=RUN_PATIENCE,
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


WIDGETS = """type => Object.fromEntries(
    app.graph.nodes.find(node => node.type === type).widgets.map(widget => [widget.name, widget.value]))"""


def test_start_and_end_are_dragged_on_the_waveform(page, renderer: bool) -> None:
    drop(page, ROOT / "example_workflows" / "basic.json")
    waveform = page.get_by_label("Start and end of the speech")
    status = page.get_by_text("6.75 s, 169 frames at 25 fps")
    status.wait_for()

    def drag(source: float, target: float) -> dict[str, float]:
        """Drag an end, and once more if the view still moved under the mouse. Returns the values of the widgets."""
        before = page.evaluate(WIDGETS, "PortraitTalkLoadAudio")
        for _ in range(10):
            place = waveform.bounding_box()
            page.wait_for_timeout(500)
            if waveform.bounding_box() != place:
                continue
            y = place["y"] + place["height"] / 2
            page.mouse.move(place["x"] + source * place["width"], y)
            page.mouse.down()
            page.mouse.move(place["x"] + target * place["width"], y, steps=4)
            page.mouse.up()
            values = page.evaluate(WIDGETS, "PortraitTalkLoadAudio")
            if values != before:
                return values
        raise AssertionError("dragging changes nothing")

    drag(0.005, 0.25)
    values = drag(0.995, 0.75)
    assert abs(values["start"] - 0.25 * 6.75) < 0.1 and abs(values["duration"] - 0.5 * 6.75) < 0.1
    waveform.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")
    moved = page.evaluate(WIDGETS, "PortraitTalkLoadAudio")
    assert abs(moved["start"] - values["start"] - 0.1) < 0.011
    assert abs(moved["duration"] - values["duration"] + 0.2) < 0.021
    seconds = moved["duration"]
    page.get_by_text(f"{seconds:.2f} s of 6.75 s, {round(seconds * 25)} frames at 25 fps").wait_for()
    page.screenshot(path=screenshot(f"waveform {'new' if renderer else 'old'}"))
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (speech,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "PortraitTalkLoadAudio")
    assert (speech["start"], speech["duration"]) == (moved["start"], seconds) and "waveform" not in speech


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_face_is_chosen_among_those_of_the_picture(page, server: ComfyServer, renderer: bool, by: str) -> None:
    portrait = Image.open(ROOT / "portraittalk" / "assets" / "demo" / "portrait.jpg")
    pair = Image.new("RGB", (960, 768), "white")
    pair.paste(portrait, (192, 0))
    pair.paste(portrait.resize((192, 192)), (0, 300))
    pair.save(server.input / "pair.png")
    drop(page, ROOT / "example_workflows" / "basic.json")
    page.evaluate(
        """() => {
            const widget = app.graph.nodes.find(node => node.type === "PortraitTalkLoadPortrait").widgets[0];
            widget.value = "pair.png";
            widget.callback("pair.png");
        }"""
    )
    faces = page.get_by_role("radio", name="Face 1")
    faces.nth(1 if by == "keyboard" else 0).wait_for()  # of both nodes that show them
    if by == "mouse":
        faces.nth(0).click()
    else:
        faces.nth(1).focus()
        page.keyboard.press("Enter")
    values = page.evaluate(WIDGETS, "PortraitTalkIdentityEncode")
    assert values["face"] == "face number" and values["face.index"] == 1
    page.get_by_text("pixels high, so lips and teeth will be blurred").first.wait_for()
    page.wait_for_function(
        "() => [...document.querySelectorAll('[aria-label=\"Face 1\"]')].every(e => e.ariaChecked === 'true')"
    )
    page.screenshot(path=screenshot(f"faces {'new' if renderer else 'old'}"))
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (encode,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "PortraitTalkIdentityEncode")
    assert encode["face.index"] == 1 and "faces" not in encode


EDITS = """() => {
    const node = app.graph.nodes.find(node => node.type === "PortraitTalkEditMotion");
    return JSON.parse(node.widgets.find(widget => widget.name === "edits").value);
}"""


def test_keys_of_motion_are_set_by_mouse_and_by_keyboard(page, server: ComfyServer, renderer: bool) -> None:
    """On the curve of the last run; what is set is saved with the workflow and sent to the server."""
    prompt = load_prompt(ROOT / "example_workflows" / "motion_edit.json", server.object_info)
    drop(page, ROOT / "example_workflows" / "motion_edit.json")
    page.evaluate(
        """() => {
            for (const node of [...app.graph.nodes]) if (/Sampler|Save/.test(node.type)) app.graph.remove(node);
            app.graph.nodes.find(node => node.type === "PortraitTalkLoadAudio").widgets[2].value = 2;
            app.canvas.ds.reset();
            const node = app.graph.nodes.find(node => node.type === "PortraitTalkEditMotion");
            app.canvas.centerOnNode(node);
            app.canvas.setDirty(true, true);
        }"""
    )
    before = page.evaluate(EDITS)
    assert before == json.loads(prompt[only(prompt, "PortraitTalkEditMotion")]["inputs"]["edits"])
    page.get_by_test_id("queue-button").dispatch_event("click")
    page.get_by_label("Curve", exact=True).select_option("head_pitch")
    page.get_by_text("Click to add a key.", exact=True).wait_for(timeout=RUN_PATIENCE)  # shown after a run
    plot = page.get_by_label("Keys of the curve")
    plot.scroll_into_view_if_needed()

    def at(x: float, y: float) -> tuple[float, float]:
        """The place of the mouse, once the view stands still. x, y: from 0 to 1."""
        place = None
        for _ in range(20):
            if place == (place := plot.bounding_box()):
                break
            page.wait_for_timeout(300)
        return place["x"] + x * place["width"], place["y"] + y * place["height"]

    page.mouse.click(*at(0.25, 0.5))
    page.mouse.move(*at(0.75, 0.5))
    page.mouse.down()
    page.mouse.move(*at(0.75, 0.75), steps=4)
    page.mouse.up()
    first, second = page.evaluate(EDITS)["head_pitch"]
    assert abs(first["time"] - 0.5) < 0.05 and abs(first["value"]) < 1.5
    assert abs(second["time"] - 1.5) < 0.05 and abs(second["value"] - 17) < 2  # further down looks down
    plot.focus()
    for key in ("PageUp", "Enter", "ArrowUp", "Shift+ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    keys = page.evaluate(EDITS)["head_pitch"]
    assert [keys[0], keys[2]] == [first, second] and abs(keys[1]["time"] - 1.04) < 0.05
    assert abs(keys[1]["value"] - ((first["value"] + second["value"]) / 2 - 3.3)) < 0.4
    page.get_by_text("key 2 of 3", exact=False).wait_for()
    page.get_by_role("button", name="smooth", exact=True).click()
    assert page.evaluate(EDITS)["head_pitch"][1]["interpolation"] == "linear"
    page.screenshot(path=screenshot(f"motion editor {'new' if renderer else 'old'}"))
    plot.focus()
    page.keyboard.press("Delete")
    after = page.evaluate(EDITS)
    assert after == {**before, "head_pitch": [first, second]}
    saved = page.evaluate("() => app.graph.serialize().nodes.find(n => n.type === 'PortraitTalkEditMotion')")
    assert json.loads(saved["widgets_values"][0]) == after
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    inputs = prompt[only(prompt, "PortraitTalkEditMotion")]["inputs"]
    assert json.loads(inputs["edits"]) == after and "curves editor" not in inputs
    assert page.problems == []
