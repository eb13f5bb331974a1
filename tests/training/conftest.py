"""Real data to train on, made from what ships: the demo portrait speaks the demo speech and is prepared."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from portraittalk.config import SMALL

ASSETS = Path(__file__).resolve().parents[2] / "portraittalk" / "assets" / "demo"
SECONDS = 1.2
TINY = replace(
    SMALL,
    crop_size=64,
    autoencoder=replace(SMALL.autoencoder, block_out_channels=(16, 16, 16), latent_channels=4),
    identity_net=replace(SMALL.identity_net, widths=(16, 16, 16, 16), input_size=32, depth=1),
    structure=replace(SMALL.structure, map_size=16, flow_size=16),
    animate_net=replace(SMALL.animate_net, block_out_channels=(32, 32), token_dim=32, text_dim=32, residual_scale=3.0),
)


@pytest.fixture(scope="session")
def tiny():
    """The networks at a tiny size, for crops of 64 pixels."""
    return TINY


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """The demo portrait, speaking for a second, as a video with sound: only warped, without the network's picture."""
    from portraittalk.compositing.compose import Compositor
    from portraittalk.compositing.structure import build_structure
    from portraittalk.media.audio import read_audio
    from portraittalk.media.image import read_image
    from portraittalk.media.video import write_video
    from portraittalk.motion.speech_to_motion import speech_to_motion
    from portraittalk.pipelines.load import load_model
    from portraittalk.speech.features import encode_speech

    model = load_model("mini")
    sound = read_audio(ASSETS / "speech.wav", 0.4, SECONDS)
    identity = model.encode_identity([read_image(ASSETS / "portrait.jpg", 320).flattened()])
    speech = encode_speech(sound, 25.0, model.config.speech)
    motion = speech_to_motion(model.motion_net, speech, seed=0)
    structure = build_structure(identity, motion, model.basis, model.config)
    nothing = torch.zeros_like(structure.warped)
    frames = Compositor(identity.portrait, identity.crop)(structure.flow, nothing, structure.mask)
    path = tmp_path_factory.mktemp("film") / "anna_talks.mp4"
    write_video([frames], path, 25.0, sound)
    return path


@pytest.fixture(scope="session")
def clips(film, tiny, tmp_path_factory):
    """A folder of prepared clips for the tiny networks: the film in two halves, and the portrait."""
    from portraittalk.face.mesh import MeshProvider
    from portraittalk.training.data.clean import CleanRules
    from portraittalk.training.data.prepare import PrepareSettings, prepare_source

    out = tmp_path_factory.mktemp("clips")
    settings = PrepareSettings(tiny, CleanRules(seconds=(0.2, SECONDS / 2)))
    for path, name in ((film, "anna_talks"), (ASSETS / "portrait.jpg", "portrait")):
        report = prepare_source(path, name, out, MeshProvider(), settings)
        assert report.clips, report
    return out


@pytest.fixture(scope="session")
def pairs(clips, tiny, tmp_path_factory):
    """Pair files of the prepared clips: two videos of one speaker, a driven portrait and a still."""
    from portraittalk.compositing.teeth import Dentition
    from portraittalk.models.autoencoder import Autoencoder
    from portraittalk.models.face_basis import load_basis
    from portraittalk.training.animate.pairs import PairSettings, make_pairs
    from portraittalk.training.data.prepare import clip_files

    out = tmp_path_factory.mktemp("pairs")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = Autoencoder(tiny.autoencoder).eval()
    row = torch.zeros(4, 160, 320)
    row[[0, 2], 40:80] = 0.9  # an even row of teeth
    settings = PairSettings(shift=2.0, shape=2.0, frames=6)
    teeth = Dentition(row, row.flip(1))
    make_pairs(list(clip_files(clips)), teeth, 1, autoencoder, load_basis(), tiny, settings, 0, out)
    return sorted(out.glob("*.safetensors"))


def losses(run: Path, name: str = "loss") -> list[float]:
    """What the log of a run says of a loss, in order."""
    lines = (json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [line[name] for line in lines if name in line]


@pytest.fixture(name="losses", scope="session")
def _losses():
    return losses
