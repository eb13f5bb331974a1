"""A folder for a batch: a tiny model, a small portrait and two short speeches."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from speech_files import write_speech

from portraittalk.cli.animate_options import AnimateOptions, AnimationSettings
from portraittalk.cli.batches.jobs import read_jobs
from portraittalk.weights.load import save_weights


@pytest.fixture
def place(tiny_window_model, repository, tmp_path, monkeypatch):
    """Paths: models, portraits (a.png), speeches (x.wav, y.wav), out; settings: of the tiny model, crops only."""
    place = SimpleNamespace(
        **{name: tmp_path / name for name in ("models", "portraits", "speeches", "out")}, path=tmp_path
    )
    for folder in (place.models, place.portraits, place.speeches):
        folder.mkdir()
    parts = {name: module.state_dict() for name, module in tiny_window_model.modules().items()}
    save_weights(place.models / "tiny.safetensors", tiny_window_model.config, parts)
    with Image.open(repository / "portraittalk/assets/demo/portrait.jpg") as image:
        image.resize((192, 192)).save(place.portraits / "a.png")
    for name, seconds in (("x", 0.3), ("y", 0.4)):
        write_speech(place.speeches / f"{name}.wav", seconds)
    place.settings = AnimationSettings(model="tiny", models_dir=place.models, no_paste_back=True)
    place.write_speech = write_speech
    place.jobs = lambda **changes: read_jobs([place.portraits, place.speeches], place.out, "mp4", place.settings)
    monkeypatch.delenv("PORTRAITTALK_MODELS", raising=False)
    return place


@pytest.fixture
def options():
    """options(out, ...) -> those of a job."""

    def make(out: Path, **changes) -> AnimateOptions:
        return AnimateOptions(**{"portraits": [Path("a.png")], "audio": Path("x.wav"), "out": out, **changes})

    return make
