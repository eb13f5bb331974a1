import torch
from torch import nn

from portraittalk.training.trainer import TrainerConfig, fit, rate


def regression(seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.tensor([[1.0, -2.0, 0.5]])
    while True:
        x = torch.randn(32, 3, generator=generator)
        yield {"x": x, "y": x @ weight.T}


def squared_error(model, batch):
    return {"loss": (model(batch["x"]) - batch["y"]).square().mean()}


CONFIG = TrainerConfig(steps=120, learning_rate=0.05, warmup=5, ema=0.9, bf16=False, weight_decay=0.0)


def network():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_training_lowers_the_loss_and_saves_the_average(tmp_path):
    from safetensors.torch import load_file

    model = network()
    batch = next(regression(9))
    before = squared_error(model, batch)["loss"].item()
    average = fit(model, regression(), squared_error, CONFIG, tmp_path)
    assert squared_error(average, batch)["loss"].item() < before / 50
    assert torch.equal(load_file(tmp_path / "weights.safetensors")["weight"], average.weight)
    assert not list(tmp_path.glob("*.part"))


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    from dataclasses import replace

    fit(network(), regression(), squared_error, replace(CONFIG, steps=30), tmp_path)
    seen = []

    def counting(model, batch):
        seen.append(1)
        return squared_error(model, batch)

    fit(network(), regression(1), counting, replace(CONFIG, steps=50), tmp_path)
    assert len(seen) == 20


def test_the_learning_rate_warms_up_and_falls():
    assert rate(0, 0.0, 10) < 0.2
    assert rate(10, 0.0, 10) == 1.0
    assert rate(10, 0.5, 10) > rate(10, 0.9, 10) > rate(10, 1.0, 10) > 0
