"""``portraittalk benchmark`` over a folder."""

import shutil


def test_a_folder_is_measured_and_what_fails_is_told(run, face, speech, tmp_path):
    folder, report = tmp_path / "folder", tmp_path / "report"
    folder.mkdir()
    shutil.copy(face, folder / "one.jpg")
    shutil.copy(speech, folder / "one.wav")
    shutil.copy(face, folder / "two.jpg")
    code, printed, _ = run("benchmark", folder, "--out", report, "--model", "tiny")
    assert code == 0 and "| lips_asked |" in printed and "- two: " in printed
    names = sorted(path.name for path in report.iterdir())
    assert names == ["report.html", "report.json", "report.md", "report.tsv", "videos"]
    (folder / "one.wav").unlink()
    code, _, told = run("benchmark", folder, "--out", report, "--model", "tiny")
    assert code == 2 and "Every subject" in told
    code, _, told = run("benchmark", tmp_path / "none", "--out", report, "--model", "tiny")
    assert code == 2 and told.count("Error: ") == 1
    code, _, told = run("benchmark", folder, "--out", report, "--model", "tiny", "--metric-weights", folder)
    assert code == 2 and "no metric weights" in told
