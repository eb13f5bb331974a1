"""Jobs are read from JSON lines, CSV or two folders, and mistakes are named with their line."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from portraittalk.cli.animate_options import AnimationSettings
from portraittalk.cli.batches.jobs import Job, changed_settings, grouped, read_jobs
from portraittalk.errors import OutputError, SettingsError

SETTINGS = AnimationSettings(seed=7, fps=12.0)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_is_a_job_with_its_own_settings_and_those_of_the_command(tmp_path):
    lines = [
        {"portrait": "a.png", "audio": "x.wav", "prompt": "a smile; sad", "seed": 3, "no-paste-back": True},
        {"portraits": ["a.png", "sub/b.png"], "audio": "/y.wav", "out": "c/d.webm", "steps": 2, "motion_out": "m.json"},
        {"portrait": "b.png", "audio": "x.wav", "audio-scale": 0.5, "strength": None, "out": "e.gif"},
    ]
    path = written(tmp_path, "jobs.jsonl", "\n\n".join(map(json.dumps, lines)) + "\n")
    first, second, third = read_jobs([path], tmp_path / "out", "mp4", SETTINGS)
    assert first.name == "a_x.mp4" and first.options.out == tmp_path / "out" / "a_x.mp4"
    assert first.options.portraits == [tmp_path / "a.png"] and first.options.audio == tmp_path / "x.wav"
    assert (first.options.prompt, first.options.seed, first.options.fps) == ("a smile; sad", 3, 12.0)
    assert first.options.no_paste_back and first.options.resume
    assert second.name == "c/d.webm" and second.options.portraits == [tmp_path / "a.png", tmp_path / "sub" / "b.png"]
    assert second.options.audio == Path("/y.wav") and second.options.motion_out == tmp_path / "out" / "m.json"
    assert second.options.seed == 7 and second.options.steps == 2 and second.options.resume
    assert third.options.speech_scale == 0.5 and third.options.strength is None and not third.options.resume
    assert changed_settings(first.options) == {"prompt": "a smile; sad", "seed": 3, "fps": 12.0, "no_paste_back": True}


def test_csv_means_the_same_and_empty_cells_are_settings_not_given(tmp_path):
    text = '\ufeffportrait, audio, prompt, seed, low_memory, fps\na.png; b.png,x.wav,"a smile, sad",3,yes,\n,,,,,\n'
    (job,) = read_jobs([written(tmp_path, "jobs.csv", text)], tmp_path, "webm", SETTINGS)
    assert job.name == "a_x.webm" and job.options.portraits == [tmp_path / "a.png", tmp_path / "b.png"]
    assert job.options.prompt == "a smile, sad" and job.options.seed == 3
    assert job.options.low_memory is True and job.options.fps == 12.0


def test_two_folders_are_every_portrait_with_every_speech(tmp_path):
    for name in ("p/a.PNG", "p/b.jpg", "p/notes.txt", "s/x.wav", "s/y.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    jobs = read_jobs([tmp_path / "p", tmp_path / "s"], tmp_path / "out", "mp4", SETTINGS)
    assert [job.name for job in jobs] == ["a_x.mp4", "a_y.mp4", "b_x.mp4", "b_y.mp4"]


LINE = '{"portrait": "a.png", "audio": "x.wav"'
MISTAKES = {
    LINE: "line 1 is not JSON",
    "[1]": "line 1 is not a JSON object",
    "\n\n": "There are no jobs in",
    f'{LINE}, "promt": "x"}}': "line 1: there is no setting 'promt'; known settings: prompt,",
    f'{LINE}, "resume": true}}': "there is no setting 'resume'",
    f'{LINE}, "portraits": "b.png"}}': "portraits is given twice",
    f'{LINE}, "seed": "many"}}': "line 1: seed must be a whole number, not 'many'",
    f'{LINE}, "seed": 1.5}}': "seed must be a whole number, not 1.5",
    f'{LINE}, "seed": true}}': "seed must be a whole number, not True",
    f'{LINE}, "fps": [25]}}': "fps must be a number, not an object of type list",
    f'{LINE}, "low_memory": "perhaps"}}': "low_memory must be true or false, not 'perhaps'",
    f'{LINE}, "prompt": 3}}': "prompt must be text, not 3",
    f'{LINE}, "motion_in": ""}}': "motion_in must be a path, not ''",
    f'{LINE}, "out": "../b.mp4"}}': "../b.mp4 must lie within the folder of the batch",
    f'{LINE}, "out": "/b.mp4"}}': "/b.mp4 must lie within the folder of the batch",
    f'{LINE}, "motion_out": "../m.json"}}': "../m.json must lie within",
    f'{LINE}, "out": "b.png"}}': "b.png has no suffix of a batch's videos: use one of .mp4",
    f'{LINE}, "out": "b\\u0000.mp4"}}': "out must be a path",
    f'{LINE}}}\n{LINE}, "seed": 4}}': "jobs.jsonl, line 1 and jobs.jsonl, line 2 would both write a_x.mp4",
    f'{LINE}, "motion_out": "a_x.mp4"}}': "would both write a_x.mp4",
    '{"portrait": [], "audio": "x.wav"}': "portraits must be a path or a list of paths",
    '{"audio": "x.wav"}': "line 1: there is no portrait: add it",
    '{"portrait": "a.png"}': "line 1: there is no audio: add it",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path, text):
    with pytest.raises(SettingsError) as error:
        read_jobs([written(tmp_path, "jobs.jsonl", text)], tmp_path / "out", "mp4", SETTINGS)
    assert MISTAKES[text] in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_jobs_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").touch()
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "x.wav").touch()
    broken = written(tmp_path, "broken.csv", 'portrait,audio\n"a.png,x.wav\n')
    more = written(tmp_path, "more.csv", "portrait,audio\na.png,x.wav,3\n")
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00\x01\x02")
    for sources, words in (
        ([tmp_path / "none.jsonl"], "does not exist"),
        ([written(tmp_path, "jobs.txt", "x")], "is not a file of jobs"),
        ([tmp_path / "p"], "Give one file of jobs"),
        ([tmp_path / "p", tmp_path / "empty"], "contains no sound files"),
        ([tmp_path / "empty", tmp_path / "s"], "contains no pictures"),
        ([broken], "cannot be read as jobs"),
        ([more], "line 2 has more cells"),
        ([binary], "cannot be read as jobs"),
    ):
        with pytest.raises(SettingsError, match=words):
            read_jobs(sources, tmp_path / "out", "mp4", SETTINGS)
    with pytest.raises(SettingsError, match="no videos in the format png"):
        read_jobs([broken], tmp_path / "out", "png", SETTINGS)


def test_no_job_overwrites_what_another_reads(tmp_path):
    (tmp_path / "a_x.mp4").touch()
    text = f'{LINE}}}\n{{"portrait": "a.png", "audio": "a_x.mp4", "out": "b.mp4"}}'
    with pytest.raises(OutputError, match="is an input, which would be overwritten"):
        read_jobs([written(tmp_path, "jobs.jsonl", text)], tmp_path, "mp4", SETTINGS)


def test_jobs_of_one_model_and_of_one_portrait_stand_together(options):
    def job(name, **changes):
        return Job(name, options(Path(name), **changes))

    a, b = [Path("a.png")], [Path("b.png")]
    jobs = [
        *(job("1", portraits=a), job("2", model="big", portraits=a), job("3", portraits=b)),
        *(job("4", portraits=a), job("5", model="big", portraits=a, device="cpu"), job("6", model="big", portraits=a)),
    ]
    assert [one.name for one in grouped(jobs)] == ["1", "4", "3", "2", "6", "5"]


def test_every_setting_of_animate_can_be_given():
    assert {"prompt", "seed", "preview", "low_memory"} < {field.name for field in fields(AnimationSettings)}
