"""Two processes train one set of weights, each on data of its own; one of them writes. One launch does both runs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from warm_processes import start

import portraittalk
from portraittalk.models.autoencoder import Autoencoder

SMALL = """\
[network]
crop_size = 64
[network.autoencoder]
block_out_channels = [16, 16, 16]
latent_channels = 4
[network.identity_net]
widths = [16, 16, 16, 16]
input_size = 32
depth = 1
[network.structure]
map_size = 16
flow_size = 16
[network.animate_net]
block_out_channels = [32, 32]
token_dim = 32
text_dim = 32
residual_scale = 3.0
"""
STAGE = (
    "[training]\nbatch = 4\nwindow = 4\nfirst = 1.0\npictures = 0.0\npart = 0\ndropout = 0.0\nfeature_dropout = 0.0\n"
)
TRAINER = "[training.trainer]\nlearning_rate = 2e-3\nwarmup = 5\nbf16 = false\nema = 0.8\nlog_every = 5\n"


PROCESS = """
import os
import runpy
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import PartialState
from safetensors.torch import save_file

from portraittalk.training import trainer
from portraittalk.training.trainer import TrainerConfig, fit

out, seen = Path(sys.argv.pop(1)), []


def draw(generator):
    x = torch.randn(8, 3, generator=generator)
    seen.append(x)
    return {"x": x}


def loss(model, batch, generator):
    return {"loss": (model(batch["x"]).sum(1) - batch["x"].sum(1)).square().mean()}


torch.manual_seed(0)
network = torch.nn.Linear(3, 2)
clock = count()  # each look at it is some hundredths of a second later, more in one process than in the other
pace = 0.02 + 0.01 * int(os.environ["RANK"])
real, trainer.time = trainer.time, SimpleNamespace(monotonic=lambda: pace * next(clock))
config = TrainerConfig(steps=10**9, minutes=0.02, warmup=5, learning_rate=0.01, accumulate=2, log_every=10**6)
average = fit(network, draw, loss, config, out)
found = {**network.state_dict(), "average": average.weight, "first": seen[0], "batches": torch.tensor(len(seen))}
save_file(found, out / f"process{PartialState().process_index}.safetensors")
trainer.time = real
runpy.run_module("portraittalk", run_name="__main__")  # the other arguments are its own
"""


@pytest.fixture(scope="module", params=["processes", pytest.param("torchrun", marks=pytest.mark.slow)])
def launched(request, pairs, tiny, tmp_path_factory):
    """(folder, what was printed): two processes on the CPU run PROCESS, then a stage of the command line.

    torchrun starts them with the same variables, and needs seconds to import torch thrice.
    """
    folder = tmp_path_factory.mktemp("torchrun")
    config = folder / "my.toml"
    config.write_text(f'pairs = "{pairs[0].parent}"\n{SMALL}{STAGE}{TRAINER}', encoding="utf-8")
    save_file(Autoencoder(tiny.autoencoder).state_dict(), folder / "decoder.safetensors")
    (folder / "process.py").write_text(PROCESS, encoding="utf-8")
    train = ("train", "animate", "--config", config, "--out", folder / "run", "--stage", 1, "--steps", 20)
    script = (folder / "process.py", folder, *train, "--decoder", folder / "decoder.safetensors")
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if request.param == "torchrun":
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
        command = [str(part) for part in (sys.executable, *launcher, *script)]
        environment = os.environ | environment | {"PYTHONPATH": str(Path(portraittalk.__file__).parents[1])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return folder, done.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [environment | shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    processes = [start(script, folder / "said", **one) for one in ranks]
    for process in processes:
        process.join(200)
        process.kill()
    told = (folder / "said").read_text(encoding="utf-8")
    assert [process.exitcode for process in processes] == [0, 0], told
    return folder, told


def test_a_stage_learns_on_two_processes_of_which_one_writes(launched, losses):
    folder, told = launched
    assert told.count("step 20 ") == 1, told
    seen = losses(folder / "run")
    assert len(seen) == 4 and seen[-1] < 0.8 * seen[0]
    assert len(losses(folder / "run", "validation/mouth_warp")) == 1
    assert len(list((folder / "run" / "pictures").glob("reference_warp_ours_target_*.png"))) == 1


def test_processes_see_other_data_stop_together_and_end_with_the_same_weights(launched):
    folder, _ = launched
    one, other = (load_file(folder / f"process{rank}.safetensors") for rank in range(2))
    assert not torch.equal(one.pop("first"), other.pop("first"))
    assert one["batches"] >= 20, "the minutes were up at once"
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(one["average"], load_file(folder / "weights.safetensors")["weight"])
