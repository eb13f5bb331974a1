import json
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from portraittalk.errors import OutputError, WeightsError
from portraittalk.training import trainer
from portraittalk.training.trainer import TrainerConfig, fit, rate, step_seeds

WEIGHT = torch.tensor([[1.0, -2.0, 0.5]])
CONFIG = TrainerConfig(steps=120, learning_rate=0.05, warmup=5, ema=0.9, bf16=False, weight_decay=0.0)


def regression(generator):
    x = torch.randn(32, 3, generator=generator)
    return {"x": x, "y": x @ WEIGHT.T}


def squared_error(model, batch, generator):
    noise = 0.01 * torch.randn(len(batch["x"]), 1, generator=generator)
    return {"loss": (model(batch["x"]) - batch["y"] + noise).square().mean()}


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(dropout), nn.Linear(8, 1))


def test_training_lowers_the_loss_and_saves_the_average(tmp_path):
    model = network()
    batch = regression(torch.Generator().manual_seed(9))
    before = squared_error(model, batch, torch.Generator())["loss"].item()
    average = fit(model, regression, squared_error, CONFIG, tmp_path)
    assert squared_error(average, batch, torch.Generator())["loss"].item() < before / 50
    saved = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in average.state_dict().items())
    assert not list(tmp_path.glob("*.part"))


class Stopped(Exception):
    pass


def test_a_stopped_run_ends_with_the_very_weights_of_one_that_was_not(tmp_path):
    """With dropout, noise in the loss, accumulation and mixed precision; stopped between two checkpoints."""
    config = replace(CONFIG, steps=6, accumulate=2, bf16=True, checkpoint_seconds=0.0, log_every=1)

    def stop(model, step):
        if step == 3:
            raise Stopped
        return {}

    fit(network(0.5), regression, squared_error, config, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(network(0.5), regression, squared_error, config, tmp_path / "parts", validate=stop)
    torch.rand(7)  # what else happened in between does not matter
    fit(network(0.5), regression, squared_error, config, tmp_path / "parts")
    whole, parts = (load_file(tmp_path / run / "state.safetensors") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole if name != "seconds")
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        for run in ("whole", "parts")
    ]
    first, second = ([(entry["step"], entry["loss"]) for entry in log] for log in logs)
    assert first == second
    other = fit(network(0.5), regression, squared_error, config, tmp_path / "other", seed=1)
    assert not torch.equal(other[0].weight, load_file(tmp_path / "whole" / "weights.safetensors")["0.weight"])


def test_a_run_that_ends_by_its_steps_does_not_depend_on_the_time_of_its_preparation(tmp_path, monkeypatch):
    config, weights = replace(CONFIG, steps=3, minutes=60), []
    for seconds in (0.01, 20.0):
        clock = count(step=seconds)
        monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda clock=clock: next(clock)))
        weights.append(fit(network(), regression, squared_error, config, tmp_path / str(seconds))[0].weight)
    assert torch.equal(*weights)


def test_minutes_count_those_before_a_stop(tmp_path):
    config = replace(CONFIG, steps=10**9, minutes=0.01)
    fit(network(), regression, squared_error, config, tmp_path)
    before = load_file(tmp_path / "state.safetensors")
    fit(network(), regression, squared_error, config, tmp_path)
    after = load_file(tmp_path / "state.safetensors")
    assert after["step"] == before["step"] and before["seconds"] >= 0.6


def test_every_batch_has_seeds_of_its_own():
    seeds = [
        tuple(step_seeds(*which)) for which in ((0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    ]
    assert len({seed for pair in seeds for seed in pair}) == 10
    assert step_seeds(3, 1, 4, 1) == step_seeds(3, 1, 4, 1)


def test_the_log_holds_losses_and_what_validation_shows(tmp_path):
    def show(model, step):
        return {"picture": torch.full((3, 8, 12), 0.5), "error": torch.tensor(0.25)}

    fit(network(), regression, squared_error, replace(CONFIG, log_every=40), tmp_path, validate=show)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [40, 80, 120, 120]
    assert lines[0]["loss"] > lines[2]["loss"] > 0 and 0 < lines[2]["learning_rate"] < 0.05
    assert lines[3]["validation/error"] == 0.25
    assert (tmp_path / "pictures" / "picture_0000120.png").stat().st_size > 0


def test_tensorboard_reads_the_run(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(CONFIG, steps=4, log_every=2)
    fit(network(), regression, squared_error, config, tmp_path, validate=lambda *_: {"picture": torch.rand(3, 8, 8)})
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [2, 4]
    assert board.Tags()["images"] == ["picture"] and "learning_rate" in board.Tags()["scalars"]


def test_the_learning_rate_warms_up_and_falls():
    assert rate(0, 0.0, 10) < 0.2
    assert rate(10, 0.0, 10) == 1.0
    assert rate(10, 0.5, 10) > rate(10, 0.9, 10) > rate(10, 1.0, 10) > 0


def test_a_device_without_bf16_is_trained_in_full_precision_which_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trainer, "computes_bf16", lambda device: False)
    model = nn.Linear(2, 1)
    seen = []

    def loss(model, batch, generator):
        found = model(batch["x"])
        seen.append(found.dtype)
        return {"loss": found.square().mean()}

    config = replace(CONFIG, steps=1, bf16=True)
    fit(model, lambda generator: {"x": torch.ones(4, 2)}, loss, config, tmp_path)
    assert seen == [torch.float32] and "training in fp32" in caplog.text


def test_a_log_whose_last_line_was_cut_is_taken_up_again(tmp_path):
    config = replace(CONFIG, steps=4, log_every=1)
    fit(network(), regression, squared_error, config, tmp_path)
    log = tmp_path / "log.jsonl"
    whole = log.read_text(encoding="utf-8")
    log.write_text(whole + '{"step": 4, "seco', encoding="utf-8")
    fit(network(), regression, squared_error, replace(config, steps=5), tmp_path)
    lines = log.read_text(encoding="utf-8")
    assert lines.startswith(whole) and [json.loads(line)["step"] for line in lines.splitlines()] == [1, 2, 3, 4, 5]


def test_a_full_disk_at_a_checkpoint_is_one_sentence_and_leaves_the_last_one_whole(tmp_path, full_disk):
    fit(network(), regression, squared_error, replace(CONFIG, steps=2), tmp_path)
    names = ("state.safetensors", "weights.safetensors")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    with full_disk(500), pytest.raises(OutputError, match=r"state\.safetensors cannot be written: .* choose another"):
        fit(network(), regression, squared_error, replace(CONFIG, steps=4, log_every=100), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
    assert not list(tmp_path.glob("*.part"))


def test_the_state_of_another_network_is_named(tmp_path):
    fit(network(), regression, squared_error, replace(CONFIG, steps=1), tmp_path)
    other = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))
    with pytest.raises(WeightsError, match=r"state\.safetensors, from which the run resumes,"):
        fit(other, regression, squared_error, replace(CONFIG, steps=2), tmp_path)


STOPPED = """
import sys, torch
from pathlib import Path
from torch import nn
from portraittalk import cli
from portraittalk.training import checkpoint
from portraittalk.training.trainer import TrainerConfig, fit
def train():
    write, count = checkpoint.write_tensors, 0
    def announced(*arguments):
        nonlocal count
        count += 1
        if count == 4:
            print("ready", flush=True)
        write(*arguments)
    checkpoint.write_tensors = announced
    draw = lambda generator: {"x": torch.randn(8, 300, generator=generator)}
    loss = lambda model, batch, generator: {"loss": model(batch["x"]).square().mean()}
    fit(nn.Linear(300, 3000), draw, loss, TrainerConfig(steps=10**6, checkpoint_seconds=0.0), Path(sys.argv[1]))
cli.app = train
cli.main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_leaves_a_whole_checkpoint(repository, tmp_path):
    command = [sys.executable, "-c", STOPPED, str(tmp_path)]
    process = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "Error: Stopped by SIGTERM" in said
    assert not list(tmp_path.glob("*.part"))
    assert {"state.safetensors", "weights.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    assert load_file(tmp_path / "state.safetensors")["step"] >= 1 and load_file(tmp_path / "weights.safetensors")
