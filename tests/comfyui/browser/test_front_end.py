"""What a user sees: the front end in a real browser, a workflow dropped onto it, and the video playing at the end."""

import json
from pathlib import Path

import pytest
from comfyui_harness.front_end import RENDERERS, ROOT, RUN_PATIENCE, WORKFLOWS, draw_as_html, drop, screenshot
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer
from comfyui_harness.workflow import load_prompt, only

pytestmark = pytest.mark.browser

ERRORS = "() => app.graph.nodes.filter(n => n.has_errors || n.inputs.some(i => i.hasErrors)).map(n => n.type)"


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
