"""The seam to ComfyUI: names from a workflow never lead out of its folders, and Cancel is heeded."""

import logging
import os

import pytest
import torch

OUTSIDE = ["../secret.wav", "/etc/hostname", "sub/../../secret.wav", "..", ".", "", "a\0b.wav", "../output [input]"]


@pytest.fixture
def secret(folders):
    """A file beside ComfyUI's folders, which no name may reach."""
    file = folders["input"].parent / "secret.wav"
    file.write_bytes(b"secret")
    return file


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_does_not_lead_out_of_the_input_folder(host, library, secret, name):
    with pytest.raises(library("errors").MediaError, match=r"There is no file .* in ComfyUI's input folder"):
        host.files.stored_file(name)
    assert host.files.stored_file_problem(name).endswith("upload it or choose another.")


def test_a_link_does_not_lead_out_either(host, library, folders, secret):
    os.symlink(secret, folders["input"] / "link.wav")
    with pytest.raises(library("errors").MediaError):
        host.files.stored_file("link.wav")


def test_a_loop_of_links_and_endless_names_are_no_files(host, folders):
    for folder in ("input", "output"):
        os.symlink("loop", folders[folder] / "loop")
    names = ("loop", "loop/a", "x" * 300, "x" * 10_000_000, "x/" * 5_000_000 + "x")
    for problem in (host.files.stored_file_problem, host.files.prefix_problem):
        for name in names:
            told = problem(name)
            assert told is not None and len(told) < 600 and "\n" not in told, told[:600]


def test_files_are_found_in_the_folder_that_the_name_says(host, folders):
    for folder in ("input", "output", "temp"):
        (folders[folder] / "sub").mkdir()
        (folders[folder] / "sub" / "a.wav").write_bytes(folder.encode())
    assert host.files.stored_file("sub/a.wav").read_bytes() == b"input"
    assert host.files.stored_file("sub/a.wav [output]").read_bytes() == b"output"
    assert host.files.stored_file("sub/a.wav [temp]").read_bytes() == b"temp"


@pytest.mark.parametrize("prefix", ["../up", "/tmp/absolute", "a/../../up", "a\0b", "", "   ", "folder/", "."])
def test_a_prefix_does_not_lead_out_of_the_output_folder(host, library, folders, prefix):
    with pytest.raises(library("errors").MediaError, match="file name prefix"):
        host.files.output_place(prefix)
    assert not list(folders["output"].iterdir())


def test_places_to_save_are_numbered(host, folders):
    first = host.files.output_place("video/talk").path(".mp4")
    first.write_bytes(b"")
    second = host.files.output_place("video/talk").path(".mp4")
    assert first == folders["output"] / "video" / "talk_00001_.mp4"
    assert second.name == "talk_00002_.mp4"


def test_a_file_that_changes_has_another_fingerprint(host, folders):
    file = folders["input"] / "a.wav"
    file.write_bytes(b"a")
    before = host.files.fingerprint(file)
    assert host.files.fingerprint(file) == before
    file.write_bytes(b"ab")
    assert host.files.fingerprint(file) != before


def test_the_model_folder_keeps_what_extra_model_paths_names(host, monkeypatch):
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "portraittalk", (["/elsewhere"], set()))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "portraittalk_public", ([], set()))
    host.models.register_model_folder()
    paths, suffixes = folder_paths.folder_names_and_paths["portraittalk"]
    assert paths == ["/elsewhere", os.path.join(folder_paths.models_dir, "portraittalk")]
    assert suffixes == {".safetensors"}
    public, suffixes = folder_paths.folder_names_and_paths["portraittalk_public"]
    assert {os.path.join(path, "public") for path in paths} <= set(public)
    assert {".safetensors", ".pth", ".ckpt"} <= suffixes


def test_only_safetensors_are_listed(host, folders):
    import folder_paths

    for name in ("a.safetensors", "b.pth", "c.ckpt", "d.pkl"):
        (folders["models"] / name).write_bytes(b"")
    assert host.models.list_models() == ["a.safetensors"]
    for folder in ("public", "metrics"):
        (folders["models"] / folder).mkdir()
        for name in ("e.safetensors", "f.pth", "g.txt"):
            (folders["models"] / folder / name).write_bytes(b"")
    folder_paths.filename_list_cache.pop("portraittalk", None)
    assert host.models.list_models() == ["a.safetensors"]
    assert host.models.list_public_files() == ["e.safetensors", "f.pth"]
    assert host.models.metric_folders() == [folders["models"] / "metrics"]


def test_progress_is_shown_and_cancel_ends_the_work(host, library, monkeypatch):
    import comfy.model_management as management
    import comfy.utils

    shown = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda done, total, preview, **_: shown.append((done, total, preview))
    )
    progress = host.progress.HostProgress()
    step = library("progress").Progress
    progress(step("animate", 1, 4, preview=torch.rand(3, 1200, 900)))
    done, total, (kind, picture, side) = shown[-1]
    assert (done, total, kind) == (1, 4, "JPEG")
    assert picture.size == (900, 1200) and side == 1200  # the front end labels it with the size of the video
    progress(step("animate", 1, 4, preview=torch.rand(3, 64, 6000)))
    assert shown[-1][2][1].size == (2000, 22)  # but what is larger than videos are is made small
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        progress(step("animate", 2, 4))


@pytest.fixture
def text(host, nodes):
    from comfy_api.latest import io

    hidden = {"hidden_inputs": {io.Hidden.unique_id: "5"}}
    return host.progress.NodeText(nodes["PortraitTalkTextStyleCondition"].PREPARE_CLASS_CLONE(hidden))


def test_text_on_a_node_grows_by_lines_and_by_warnings_of_the_library(text, shown_text, pack):
    text.add("169 frames")
    library = logging.getLogger(f"{pack.__name__}.portraittalk")
    with text.with_warnings():
        library.getChild("text.style").warning("'%s' is left out", "a red car")
        library.getChild("text.style").warning("'%s' is left out", "a red car")
        library.getChild("text.style").info("nothing for the node")
    library.warning("too late")
    assert shown_text[0] == "169 frames"
    assert set(shown_text[1:]) == {"169 frames\n'a red car' is left out"}


def test_the_time_left_is_shown_below_and_goes_at_the_end(host, library, text, shown_text, monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 10.5, 30.0, 40.0])
    monkeypatch.setattr(host.progress.time, "monotonic", lambda: next(clock))
    text.add("40 frames")
    progress = host.progress.HostProgress(text)
    for done in (0, 1, 10, 11, 30, 40):
        progress(library("progress").Progress("animate", done, 40))
    assert shown_text == [
        "40 frames",
        "40 frames\nanimate: about 30 s left",
        "40 frames\nanimate: about 10 s left",
        "40 frames",
    ]
    assert [host.progress.duration(seconds) for seconds in (0.2, 89, 200, 9000)] == ["1 s", "89 s", "3 min", "2.5 h"]


def test_the_time_left_does_not_count_what_an_interrupted_run_has_done(host, library, text, shown_text, monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(host.progress.time, "monotonic", lambda: next(clock))
    progress = host.progress.HostProgress(text)
    for done in (20, 30):
        progress(library("progress").Progress("animate", done, 40))
    assert shown_text == ["animate: about 10 s left"]


def test_of_interrupted_runs_the_last_ones_are_kept(host, folders):
    place = folders["user"] / "portraittalk" / "unfinished"
    for number in range(6):
        run = host.files.unfinished_run(f"run {number}")
        run.take_up()
        os.utime(run.folder, (number, number))
    assert sorted(path.name for path in place.iterdir()) == [f"run {k}" for k in range(2, 6)]
    host.files.unfinished_run("run 2")  # the running one does not count
    assert len(list(place.iterdir())) == 4
    (place / "run 2" / "mine.txt").touch()
    os.utime(place / "run 2", (2, 2))
    host.files.unfinished_run("run 6").take_up()
    assert sorted(path.name for path in place.iterdir()) == [f"run {k}" for k in range(2, 7)]
    (folders["user"] / "portraittalk").rename(folders["user"] / "other")
    (folders["user"] / "portraittalk").touch()
    assert host.files.unfinished_run("run 7") is None  # a run does without it


def test_the_workflow_is_left_out_where_the_user_says_so(host, monkeypatch):
    from comfy.cli_args import args

    assert host.files.workflow_metadata({"1": {}}, {"workflow": {"nodes": []}}) == {
        "prompt": {"1": {}},
        "workflow": {"nodes": []},
    }
    monkeypatch.setattr(args, "disable_metadata", True)
    assert host.files.workflow_metadata({"1": {}}, {"workflow": {}}) == {}


def test_a_prefix_that_cannot_be_written_is_told_when_the_workflow_is_queued(host, folders):
    (folders["output"] / "file").touch()
    assert "is a file, not a folder" in host.files.prefix_problem("file/talk")
    assert "the name is too long: shorten it" in host.files.prefix_problem("x" * 250)
    assert "the name is too long" in host.files.prefix_problem("x" * 300 + "/talk")
    assert host.files.prefix_problem("new/folder/talk") is None
    assert [path.name for path in folders["output"].iterdir()] == ["file"]


def test_temporary_files_have_names_of_their_own_and_folders_are_removed(host, folders):
    one, other = (host.files.temp_path("PortraitTalk", ".mp4") for _ in range(2))
    assert one != other and one.parent == folders["temp"]
    with host.files.temp_folder() as folder:
        (folder / "video.mp4").touch()
        assert folder.parent == folders["temp"]
    assert not list(folders["temp"].iterdir())
