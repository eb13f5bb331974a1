import json
import math
import wave

import pytest
import torch

from portraittalk import pipeline
from portraittalk.face.mesh import MeshProvider
from portraittalk.media.audio import read_audio
from portraittalk.media.video import write_video
from portraittalk.metrics.evaluate import as_json, evaluate, table
from portraittalk.motion.arkit import ARKIT_INDEX
from portraittalk.motion.structure import build_structure
from portraittalk.motion.track import MotionTrack
from portraittalk.types import SamplingSettings

FRAMES = 10
SETTINGS = SamplingSettings(steps=1, window=8, overlap=2)


@pytest.fixture(scope="module")
def clip(tiny_model, portrait, portrait_face, tmp_path_factory):
    """A talking clip whose every frame is the demo portrait, warped to a jaw that opens and closes."""
    folder = tmp_path_factory.mktemp("clip")
    with wave.open(str(folder / "hum.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        noise = torch.randn(8000 * FRAMES // 25, generator=torch.Generator().manual_seed(0))
        file.writeframes((3000 * noise).short().numpy().tobytes())
    identity = pipeline.encode_identity(tiny_model, [portrait], faces=[[portrait_face]])
    expression = torch.zeros(FRAMES, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.3 - 0.3 * torch.linspace(0, 4 * math.pi, FRAMES).cos()
    structure = build_structure(
        identity, MotionTrack.of_expression(expression, 25.0), tiny_model.basis, tiny_model.config
    )
    large = torch.nn.functional.interpolate(structure.warped, (256, 256), mode="bicubic").clamp(0, 1)
    write_video([large], folder / "clip.mp4", 25, read_audio(folder / "hum.wav"))
    return folder / "clip.mp4"


def test_a_clip_is_played_again_and_measured(tiny_model, clip, tmp_path):
    figures = evaluate(tiny_model, clip, None, tmp_path / "out.mp4", MeshProvider(), settings=SETTINGS)
    assert figures.subject == "clip" and figures.speed > 0
    assert figures.outside_psnr is None  # the face fills the clip
    assert figures.mouth_warp is not None and figures.mouth is not None
    assert figures.mouth_warp < figures.mouth  # random weights can only do harm
    assert figures.seam is not None and figures.seam > 0
    assert figures.identity is None  # no recognition network was given
    assert (tmp_path / "out.mp4").exists()
    assert json.loads(as_json([figures]))[0]["subject"] == "clip"
    names, row = table([figures]).splitlines()
    assert len(names.split("\t")) == len(row.split("\t"))
