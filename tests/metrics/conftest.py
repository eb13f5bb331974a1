"""A talking clip for all that measures videos."""

import gzip
import json
import math
import wave

import pytest
import torch
from seeded import seeded

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.structure import build_structure
from portraittalk.media.audio import read_audio
from portraittalk.media.video import write_video
from portraittalk.metrics.metric_nets import load_metric_nets
from portraittalk.motion.track import MotionTrack

FRAMES = 6


@pytest.fixture(scope="module", autouse=True)
def _pictures_seen_once(pictures_seen_once):
    """Most tests here look at the same few pictures."""


@pytest.fixture(scope="module")
def clip(tiny_model, portrait, portrait_face, tmp_path_factory):
    """A talking clip whose every frame is the demo portrait, warped to a jaw that opens and closes."""
    folder = tmp_path_factory.mktemp("clip")
    with wave.open(str(folder / "hum.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        noise = torch.randn(8000 * FRAMES // 25, generator=torch.Generator().manual_seed(0))
        file.writeframes((3000 * noise).short().numpy().tobytes())
    identity = tiny_model.encode_identity([portrait], faces=[[portrait_face]])
    expression = torch.zeros(FRAMES, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.3 - 0.3 * torch.linspace(0, 4 * math.pi, FRAMES).cos()
    structure = build_structure(
        identity, MotionTrack.of_expression(expression, 25.0), tiny_model.basis, tiny_model.config
    )
    large = torch.nn.functional.interpolate(structure.warped, (256, 256), mode="bicubic").clamp(0, 1)
    write_video([large], folder / "clip.mp4", 25, read_audio(folder / "hum.wav"))
    return folder / "clip.mp4"


@pytest.fixture(scope="session")
def published_shapes(repository):
    """File -> key -> shape of all metric weights as they are published; of alex.pth read from the file itself, of the
    others from upstream's classes."""
    return json.loads(gzip.decompress((repository / "tests" / "data" / "metric_keys.json.gz").read_bytes()))


@pytest.fixture(scope="session")
def metric_weights(published_shapes, tmp_path_factory):
    """A folder of files with the published names and keys, but weights of a formula; two of them pickled in the way of
    before torch 1.6."""
    folder = tmp_path_factory.mktemp("metrics")
    for file, shapes in published_shapes.items():
        old = file in ("syncnet_v2.model", "alex.pth")
        torch.save(seeded(shapes), folder / file, _use_new_zipfile_serialization=not old)
    return folder


@pytest.fixture(scope="session")
def metric_nets(metric_weights):
    return load_metric_nets([metric_weights])
