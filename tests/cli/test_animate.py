"""``portraittalk animate`` from files to a video file, and what it refuses."""

import math
import os
import signal
import sys
import time

import pytest
import torch
from PIL import Image
from speech_files import write_speech
from warm_processes import start

from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video
from portraittalk.motion.track import MotionTrack


def test_animate_writes_a_video_and_sums_up(run, face, speech, tmp_path):
    out, motion = tmp_path / "out.mp4", tmp_path / "motion.json"
    code, printed, _ = run(
        "animate", face, "--audio", speech, "--out", out, "--model", "tiny", "--steps", 1, "--motion-out", motion
    )
    assert code == 0
    video = read_video(out)
    assert sum(1 for _ in video) == 15 and video.size == (192, 192) and video.has_audio
    assert "15 frames, 0.60 s at 25 fps" in printed and "s per second of video" in printed and "MB" in printed
    assert len(MotionTrack.load(motion)) == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motion.json", "out.mp4"]


def test_a_preview_is_short_and_crops_and_saved_motion_can_be_had(run, face, speech, tmp_path):
    motion = tmp_path / "still.json"
    MotionTrack.of_expression(torch.zeros(40, 52), 25.0).save(motion)
    out = tmp_path / "out.gif"
    code, printed, _ = run(
        *("animate", face, "--audio", speech, "--out", out, "--model", "tiny", "--steps", 1, "--preview", 0.2),
        *("--fps", 30, "--motion-in", motion, "--no-paste-back"),
    )
    assert code == 0 and printed.startswith(f"{out}: 6 frames")
    height, width = read_video(out).size
    assert height == width != 192


def test_motion_saved_at_another_frame_rate_is_as_long_as_the_speech(run, face, tmp_path):
    write_speech(tmp_path / "speech.wav", 0.521)
    usual = ("animate", face, "--audio", tmp_path / "speech.wav", "--model", "tiny")
    motion, out = tmp_path / "motion.json", tmp_path / "out.mp4"
    assert run(*usual, "--out", out, "--fps", 25, "--motion-out", motion)[0] == 0
    code, printed, _ = run(*usual, "--out", out, "--fps", 24, "--motion-in", motion)
    assert code == 0 and printed.startswith(f"{out}: 13 frames")


def test_liveliness_and_blinks_act_on_the_motion(run, face, speech, tmp_path):
    tracks = []
    for number, options in enumerate(((), ("--liveliness", 0), ("--blinks", 0))):
        motion = tmp_path / f"{number}.json"
        usual = ("animate", face, "--audio", speech, "--model", "tiny", "--no-paste-back", "--out", tmp_path / "a.mp4")
        assert run(*usual, "--steps", 1, "--preview", 0.24, "--motion-out", motion, *options)[0] == 0
        tracks.append(MotionTrack.load(motion))
    usual, still, awake = tracks
    assert usual.rotation.any() and not still.rotation.any()
    assert torch.equal(awake.rotation, usual.rotation) and not awake.blink.any()


def test_an_edit_acts_on_motion_from_speech_and_from_a_file(run, face, speech, tmp_path):
    def track(name, *options):
        usual = ("animate", face, "--audio", speech, "--model", "tiny", "--no-paste-back", "--out", tmp_path / "a.mp4")
        assert run(*usual, "--preview", 0.28, "--motion-out", tmp_path / name, *options)[0] == 0
        return MotionTrack.load(tmp_path / name)

    (tmp_path / "edit.json").write_text('{"head_roll": [{"time": 0.12, "value": 0}, {"time": 0.24, "value": 9}]}')
    edit = ("--motion-edit", tmp_path / "edit.json")
    plain, edited = track("plain.json"), track("edited.json", *edit)
    again = track("again.json", "--motion-in", tmp_path / "plain.json", *edit)
    for motion in (edited, again):
        added = (motion.rotation - plain.rotation)[:, 2]
        assert added[:3].abs().max() < 2e-5 and added[-1].item() == pytest.approx(math.radians(9), abs=2e-5)
        assert torch.allclose(motion.expression, plain.expression, atol=2e-5)


def test_scales_and_windows_have_options_as_the_node_has_and_old_names_work(run, face, speech, tmp_path):
    usual = ("animate", face, "--audio", speech, "--model", "tiny", "--preview", 0.2)

    def frames(name, *options):
        (tmp_path / name).mkdir()
        code, _, said = run(*usual, "--out", tmp_path / name / "%02d.png", *options)
        assert code == 0, said
        return [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]

    new = ("--speech-scale", 0.5, "--structure-scale", 0.3, "--guidance-scale", 1, "--window", 3, "--overlap", 1)
    old = ("--audio-scale", 0.5, "--structure-scale", 0.3, "--guidance", 1, "--window", 3, "--overlap", 1)
    assert frames("new", *new) == frames("old", *old) != frames("usual")
    for wrong in (("--window", 0), ("--window", 3, "--overlap", 3), ("--structure-scale", -1)):
        code, _, said = run(*usual, "--out", tmp_path / "wrong.mp4", *wrong)
        assert code == 2 and wrong[-2].removeprefix("--").replace("-", " ") in said.replace("\n", " ")


def test_several_faces_are_told_and_one_is_chosen(run, face, speech, tmp_path):
    picture = Image.open(face)
    both = Image.new("RGB", (336, 192), "white")
    both.paste(picture, (0, 0))
    both.paste(picture.resize((144, 144)), (192, 0))
    both.save(tmp_path / "both.png")
    arguments = ("--audio", speech, "--model", "tiny", "--steps", 1, "--preview", 0.1)
    code, _, told = run("animate", tmp_path / "both.png", "--out", tmp_path / "a.mp4", *arguments)
    assert code == 0 and "largest" in told
    code, _, _ = run("animate", tmp_path / "both.png", "--out", tmp_path / "b.mp4", "--face-index", 1, *arguments)
    assert code == 0
    code, _, told = run("animate", tmp_path / "both.png", "--out", tmp_path / "c.mp4", "--face-index", 2, *arguments)
    assert code == 2 and "2" in told and not (tmp_path / "c.mp4").exists()


def test_mistakes_end_with_one_sentence_and_code_2_and_leave_nothing(run, face, speech, models, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    Image.new("RGB", (400, 400), "grey").save(given / "grey.png")
    Image.new("RGB", (16, 16)).save(given / "small.png")
    with open(face, "rb") as file:
        (given / "cut.jpg").write_bytes(file.read(9000))
    (given / "text.png").write_text("no picture")
    (given / "empty.wav").touch()
    write_speech(given / "short.wav", 0.02)
    motion = given / "short.json"
    MotionTrack.of_expression(torch.zeros(5, 52), 25.0).save(motion)
    mistakes = [
        {"portrait": given / "grey.png"},
        {"portrait": given / "small.png"},
        {"portrait": given / "cut.jpg"},
        {"portrait": given / "text.png"},
        {"portrait": given / "missing.png"},
        {"--audio": given / "empty.wav"},
        {"--audio": given / "short.wav"},
        {"--audio": given / "grey.png"},
        {"--audio": given / "missing.wav"},
        {"--out": tmp_path / "missing" / "out.mp4"},
        {"--out": tmp_path / "out.docx"},
        {"--fps": 0},
        {"--fps": "nan"},
        {"--steps": 0},
        {"--seed": -1},
        {"--audio-scale": "nan"},
        {"--identity-scale": -1},
        {"--head-motion": "nan"},
        {"--expression-strength": "inf"},
        {"--liveliness": "nan"},
        {"--blinks": -1},
        {"--preview": 0},
        {"--max-size": 8},
        {"--face-index": 7},
        {"--prompt": "a red car"},
        {"--motion-in": motion},
        {"--motion-in": speech},
        {"--motion-out": tmp_path / "missing" / "motion.json"},
        {"--model": "huge"},
        {"--model": "../tiny"},
        {"--model": models / "tiny.safetensors"},
        {"--model": "foreign"},
        {"--model": "corrupt"},
        {"--device": "abacus"},
    ]
    for mistake in mistakes:
        usual = {"portrait": face, "--audio": speech, "--out": tmp_path / "out.mp4", "--model": "tiny"}
        options = usual | {"--steps": 1, "--preview": 0.3} | mistake
        portrait = options.pop("portrait")
        code, printed, told = run("animate", portrait, *(part for pair in options.items() for part in pair))
        assert code == 2, mistake
        (sentence,) = [line for line in told.splitlines() if line.startswith("Error: ")]
        assert sentence.endswith((".", "?")) and "Traceback" not in told and not printed, (mistake, told)
        assert [path.name for path in tmp_path.iterdir()] == ["given"], mistake


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_with_130_and_leaves_nothing(models, face, tmp_path):
    speech, out = tmp_path / "speech.wav", tmp_path / "out"
    write_speech(speech, 60)
    out.mkdir()
    command = ["animate", face, "--audio", speech, "--out", out / "out.mp4", "--models-dir", models, "--model", "tiny"]
    process = start(command, tmp_path / "said")
    try:
        deadline = time.monotonic() + 120
        while not os.listdir(out) and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
    finally:
        process.kill()
    told = (tmp_path / "said").read_text()
    assert process.exitcode == 130 and "Traceback" not in told, told
    assert not os.listdir(out)


def test_resume_goes_on_after_what_is_finished(run, face, speech, tmp_path, monkeypatch):
    monkeypatch.setattr("portraittalk.pipelines.unfinished.PIECE_FRAMES", 3)
    usual = ("animate", face, "--audio", speech, "--model", "tiny", "--no-paste-back", "--resume")
    usual = (*usual, "--window", 4, "--overlap", 1, "--preview", 0.6, "--out")
    out, kept = tmp_path / "a.mp4", tmp_path / "a.mp4.unfinished"

    def interrupted(frames, *arguments, **options):
        def some():
            for count, chunk in enumerate(frames):
                if count == 3:
                    raise KeyboardInterrupt
                yield chunk

        return write_video(some(), *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("portraittalk.cli.animation.write_video", interrupted)
        assert run(*usual, out)[0] == 130
    assert not out.exists() and len(list(kept.glob("*.mp4"))) == 3
    before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.mp4")}
    seen = {}

    def watched(frames, *arguments, **options):
        seen.update({path.name: path.stat().st_mtime_ns for path in kept.glob("*.mp4")})
        return write_video(frames, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("portraittalk.cli.animation.write_video", watched)
        assert run(*usual, out)[0] == 0
    assert seen == before and not kept.exists()
    video = read_video(out)
    assert len(list(video)) == 15 and video.has_audio
    code, _, told = run(*usual, tmp_path / "a.gif")
    assert code == 2 and "cannot be resumed" in " ".join(told.split())


def test_a_run_tells_what_it_costs_and_remembers_it(run, face, speech, tmp_path, monkeypatch):
    monkeypatch.setenv("PORTRAITTALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("portraittalk.cli.run_costs.SHORTEST", 1)
    usual = ("animate", face, "--audio", speech, "--model", "tiny", "--preview", 0.2, "--out", tmp_path / "a.mp4")
    _, _, told = run(*usual, "--max-size", 192)
    assert "5 frames of 192x192\n" in told
    _, _, told = run(*usual, "--max-size", 192)
    assert "5 frames of 192x192: about " in told and "judging by the last run" in told
    _, _, told = run(*usual, "--max-size", 160)
    assert "5 frames of 160x160: roughly " in told
    monkeypatch.setattr("portraittalk.cli.machine.free_memory", lambda device: 10_000_000)
    code, _, told = run(*usual, "--max-size", 192)
    assert code == 2 and "10.0 GB" not in told and "0.0 GB are free here" in " ".join(told.split())


def test_a_disk_that_cannot_hold_the_video_and_its_pieces_is_refused(run, face, speech, tmp_path, monkeypatch):
    usual = ("animate", face, "--audio", speech, "--model", "tiny", "--out", tmp_path / "a.mp4")
    monkeypatch.setattr("portraittalk.media.video.free_space", lambda path: 1400)
    monkeypatch.setattr("portraittalk.output_files.free_space", lambda path: 1400)
    code, _, told = run(*usual, "--resume")
    assert code == 2 and "needs about" in told and "are free on its disk" in " ".join(told.split())
    assert not (tmp_path / "a.mp4.unfinished").exists() and not (tmp_path / "a.mp4").exists()
    assert run(*usual, "--preview", 0.3)[0] == 0
