"""A run's file: what goes before what, what is written down, and what mistakes are told."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.config import MINI
from portraittalk.errors import SettingsError
from portraittalk.training.run_config import RECIPES, build, read_layers, recipe, write_run
from portraittalk.training.runs import (
    AdfdRun,
    AnimateRun,
    AutoencoderRun,
    DetectorRun,
    DictionaryRun,
    DifferenceRun,
    DistilRun,
    EncoderRun,
    ExpressionRun,
    LookNetRun,
    LookReaderRun,
    MeshRun,
    MotionRun,
    ReaderRun,
    WindowAnimateRun,
    WindowAutoencoderRun,
)
from portraittalk.training.trainer import TrainerConfig

RUNS = {
    "adfd fit": AdfdRun,
    "autoencoder": AutoencoderRun,
    "animate 1": AnimateRun,
    "animate 2": AnimateRun,
    "distil": DistilRun,
    "motion": MotionRun,
    "face detector": DetectorRun,
    "face mesh": MeshRun,
    "face expression": ExpressionRun,
    "text encoder": EncoderRun,
    "text dictionary": DictionaryRun,
    "text reader": ReaderRun,
    "look net": LookNetRun,
    "look reader": LookReaderRun,
    "window autoencoder": WindowAutoencoderRun,
    "window animate": WindowAnimateRun,
    "window difference": DifferenceRun,
}
NEEDED = (
    "teacher", "clips", "sounds", "pairs", "tracks", "phones", "basis", "pictures", "wordnet", "encoder", "file",
    "portraits", "net", "mouths", "autoencoder", "differences",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    batch: int = 4
    shares: Mapping[str, float] = field(default_factory=lambda: {"video": 0.5, "still": 0.5})
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass(frozen=True)
class Run:
    clips: Path
    names: tuple[str, ...] = ()
    start: Path | None = None
    training: Training = field(default_factory=Training)


def run_of(tmp_path, text, options=None, assignments=()):
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    return build(Run, read_layers("animate", tmp_path / "my.toml", options or {}, assignments))


def test_options_go_before_the_file_and_the_file_before_what_ships(tmp_path):
    text = 'clips = "a"\nnames = ["x_", "y_"]\n[training]\nbatch = 8\n'
    text += '[training.trainer]\nsteps = 9\nslow = {"a." = 0.1}\n'
    run = run_of(tmp_path, text, {"training.trainer.steps": 5, "start": None}, ["training.trainer.ema=0.5", "start=w"])
    assert run.clips == Path("a") and run.names == ("x_", "y_") and run.start == Path("w")
    trainer = TrainerConfig(steps=5, ema=0.5, slow={"a.": 0.1})
    assert run.training == Training(batch=8, trainer=trainer)
    layers = read_layers("animate", None, {"pairs": Path("p"), "training.trainer.learning_rate": 1.0})
    animate = build(AnimateRun, [*recipe("animate 1"), *layers])
    assert animate.training.trainer.learning_rate == 1.0 and animate.training.trainer.minutes == 60


def test_a_table_of_free_keys_keeps_those_that_it_does_not_name(tmp_path):
    text = 'clips = "a"\n[training.shares]\nvideo = 0.8\n'
    run = run_of(tmp_path, text, assignments=["training.shares.driven=0.2", "training.shares.video=0.7"])
    assert run.training.shares == {"video": 0.7, "still": 0.5, "driven": 0.2}


def test_a_network_of_which_one_setting_is_given_is_else_the_one_of_its_stage(tmp_path):
    """Mouth windows are drawn by mini's network, whichever part of it a file or an option names."""
    options = {"pairs": tmp_path, "autoencoder": tmp_path, "network.autoencoder.scaling_factor": 0.5}
    assignments = ["network.animate_net.token_dim=64"]
    run = build(WindowAnimateRun, read_layers("window animate", None, options, assignments))
    assert run.network.autoencoder == replace(MINI.autoencoder, scaling_factor=0.5)
    assert run.network.animate_net == replace(MINI.animate_net, token_dim=64)
    assert replace(run.network, autoencoder=MINI.autoencoder, animate_net=MINI.animate_net) == MINI


def test_a_run_is_repeated_from_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = run_of(tmp_path, 'clips = "a"\n[training.trainer]\nsteps = 3\n')
    write_run(run, "animate", tmp_path / "run")
    monkeypatch.chdir("/")
    again = build(Run, read_layers("animate", tmp_path / "run" / "run.toml", {}))
    assert asdict(again) == {**asdict(run), "clips": tmp_path / "a"}


def test_a_file_of_a_windows_editor(tmp_path):
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "my.toml").write_bytes('clips = "ö"\r\n[training]\r\nbatch = 3\r\n'.encode(encoding))
        run = build(Run, read_layers("animate", tmp_path / "my.toml", {}))
        assert run.clips == Path("ö") and run.training.batch == 3


def test_a_run_that_goes_on_otherwise_is_told_about(tmp_path, caplog):
    run = run_of(tmp_path, 'clips = "a"\n')
    write_run(run, "animate", tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").touch()
    write_run(run, "animate", tmp_path / "run")
    assert not caplog.records
    write_run(run_of(tmp_path, 'clips = "a"\n[training]\nbatch = 2\n'), "animate", tmp_path / "run")
    assert "resumes with changed settings: training.batch." in caplog.text


@pytest.mark.parametrize(
    ("text", "assignments", "told"),
    [
        ("clips = ", (), "my.toml is not TOML"),
        ('command = "motion"\n', (), "is for `portraittalk train motion`, not for `train animate`"),
        ("", (), "The run needs 'clips': set it in a file with --config, or on the command line (--clips)."),
        ('clips = "a"\nclip = 1\n', (), "my.toml: there is no setting clip; known settings: clips, names"),
        ('clips = "a"\n[training]\ntrainer = {step = 1}\n', (), "there is no setting training.trainer.step;"),
        (
            'clips = "a"\n[training.trainer]\nsteps = 0\n',
            (),
            "my.toml: training.trainer.steps cannot be 0: ",
        ),
        ('clips = "a"\n', ("training.batch=many",), "--set training.batch=many: training.batch cannot be 'many'"),
        ('clips = "a"\n', ("training.batch",), "write KEY=VALUE"),
        ('clips = "a"\ntraining = 3\n', (), "my.toml: training cannot be 3"),
    ],
)
def test_mistakes_name_the_file_the_key_and_what_is_allowed(tmp_path, text, assignments, told):
    with pytest.raises(SettingsError) as error:
        run_of(tmp_path, text, {}, assignments)
    assert told in str(error.value) and str(error.value).count("\n") == 0


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match="There is no file"):
        read_layers("animate", tmp_path / "none.toml", {})


@pytest.mark.parametrize("name", RUNS)
def test_every_recipe_that_ships_fits_its_stage(name):
    layers = recipe(name)
    assert layers
    command = name.rstrip(" 12")
    needed = {key: "x" for key in NEEDED if key in RUNS[name].__dataclass_fields__}
    run = build(RUNS[name], [*layers, *read_layers(command, None, needed)])
    trainer = run.training.trainer
    assert trainer.minutes < 1000 or trainer.steps < 100_000
    if command == "animate":
        assert run.training.stage == int(name[-1])


def test_no_recipe_is_left_over():
    assert {path.stem for path in RECIPES.glob("*.toml")} == {name.replace(" ", "-") for name in RUNS}


def test_the_command_line_tells_a_mistake_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["portraittalk", "train", "autoencoder", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as end:
        cli.run()
    assert end.value.code == 2
    assert "Error: The run needs 'clips'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_stage_is_trained_from_a_file_and_again_from_its_folder(clips, tiny, tmp_path):
    network = f"network.crop_size={tiny.crop_size}"
    small = "network.autoencoder={block_out_channels=[16, 16, 16], latent_channels=4}"
    text = f'clips = "{clips}"\nleave_out = ["portrait"]\n[training]\nwindow = 32\nbatch = 2\n'
    (tmp_path / "my.toml").write_text(f"{text}[training.trainer]\nsteps = 2\nwarmup = 1\n", encoding="utf-8")

    def train(config, out, *more):
        arguments = ["train", "autoencoder", "--config", str(config), "--out", str(out), *more]
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0, result.output

    train(tmp_path / "my.toml", tmp_path / "a", "--seed", "3", "--set", network, "--set", small)
    train(tmp_path / "a" / "run.toml", tmp_path / "b")
    first, second = ((tmp_path / run / "weights.safetensors").read_bytes() for run in ("a", "b"))
    assert first == second
