"""What the pack adds to its nodes: the waveform, the faces of a picture and the curves of motion, by mouse and keys."""

import json

import pytest
from comfyui_harness.front_end import ROOT, RUN_PATIENCE, drop, screenshot
from comfyui_harness.server import ComfyServer
from comfyui_harness.workflow import load_prompt, only
from PIL import Image

pytestmark = pytest.mark.browser

WIDGETS = """type => Object.fromEntries(
    app.graph.nodes.find(node => node.type === type).widgets.map(widget => [widget.name, widget.value]))"""

EDITS = """() => {
    const node = app.graph.nodes.find(node => node.type === "PortraitTalkEditMotion");
    return JSON.parse(node.widgets.find(widget => widget.name === "edits").value);
}"""


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
