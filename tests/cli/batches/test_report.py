"""What is to be looked at after a batch."""

from pathlib import Path

from PIL import Image

from portraittalk.cli.batches import report
from portraittalk.cli.batches.jobs import Job
from portraittalk.cli.batches.manifest import DONE, FAILED, Record


def test_the_page_shows_each_job_and_no_text_becomes_markup(tmp_path, options):
    names = ["a <b>.mp4", "sub/c.gif", "d.mp4", "e.mp4"]
    jobs = [Job(name, options(tmp_path / name)) for name in names]
    records = {
        names[0]: Record(names[0], DONE, settings={"prompt": "<script>"}, frames=50, fps=25.0, size=(3, 4)),
        names[1]: Record(names[1], DONE, frames=25, fps=25.0, size=(3, 4), warnings=("dark & small",)),
        names[2]: Record(names[2], FAILED, "No face in <x>."),
    }
    pages = report.write_report(tmp_path, jobs, records)
    html = pages[0].read_text()
    assert [path.name for path in pages] == ["index.html", "contact_sheet.jpg"]
    assert "2 of 4 videos, 1 failed" in html and "<b>" not in html and "<script>" not in html and "<x>" not in html
    assert 'src="a%20%3Cb%3E.mp4"' in html and '<img loading="lazy" alt="" src="sub/c.gif">' in html
    assert "No face in &lt;x&gt;." in html and "dark &amp; small" in html and "not made yet" in html
    assert "50 frames of 4x3, 2.00 s" in html


def test_sheets_hold_the_strips_of_all_videos(tmp_path, options, monkeypatch):
    monkeypatch.setattr(report, "_DOWN", 1)
    names = [f"{number}.mp4" for number in range(4)]
    for number, name in enumerate(names[:3]):  # that of the last one is missing
        place = tmp_path / report.STRIPS / f"{name}.jpg"
        place.parent.mkdir(exist_ok=True)
        report.strip([Image.new("RGB", (report.TILE, 100), (60 * number, 0, 0))] * report.SHOWN).save(place)
    records = {name: Record(name, DONE, fps=25.0) for name in names}
    pages = report.write_report(tmp_path, [Job(name, options(Path(name))) for name in names], records)
    assert [path.name for path in pages[1:]] == ["contact_sheet_1.jpg", "contact_sheet_2.jpg"]
    with Image.open(pages[1]) as first, Image.open(pages[2]) as last:
        wide, middle = report.TILE * report.SHOWN + 8, 16 + report.TILE // 2
        assert first.size == (3 * wide, report.TILE + 16) and last.size == (wide, report.TILE + 16)
        assert [first.getpixel((wide * k + 50, middle))[0] // 40 for k in range(3)] == [0, 1, 3]
        assert last.getpixel((50, middle)) == (255, 255, 255)
