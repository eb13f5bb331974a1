"""Every branch of the shipped model is alive: its tokens change the mouth by more than another seed does."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from portraittalk.compositing.structure import build_structure
from portraittalk.media.audio import read_audio
from portraittalk.media.image import read_image
from portraittalk.metrics.pixels import l1, mouth_region
from portraittalk.motion.speech_to_motion import speech_to_motion
from portraittalk.pipelines.load import load_model
from portraittalk.speech.features import encode_speech
from portraittalk.types import Identity, SamplingSettings, Scales, Speech, Style

HERE, ELSEWHERE = slice(30, 38), slice(100, 108)  # frames of the demo speech, 0.32 s each
SIZE = 256
# The portrait is as faded as a film: in clear photographs, the network's change is limited to a few levels.
CONTRAST, BLACK = 0.75, 0.18


@dataclass(frozen=True)
class Demo:
    """Some frames of the demo. other_identity, other_speech: with another person's tokens, of later words.

    animate: settings, identity or speech that differ -> crops (F, 3, S, S). usual: those without any difference.
    mouth: (F, 1, S, S), where it is.
    """

    other_identity: Identity
    other_speech: Speech
    animate: Callable[..., Tensor]
    usual: Tensor
    mouth: Tensor

    def change(self, **differences: object) -> float:
        """Mean change of the mouth in 1/255."""
        return 255 * l1(self.animate(**differences), self.usual, self.mouth)


@pytest.fixture(scope="module")
def demo(repository: Path) -> Demo:
    data = pytest.importorskip("skimage.data")
    model = load_model()
    folder = repository / "portraittalk" / "assets" / "demo"
    portrait = read_image(folder / "portrait.jpg", 384).flattened()
    identity = model.encode_identity([CONTRAST * portrait + BLACK])
    astronaut = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255
    tokens = model.encode_identity([astronaut]).tokens
    speech = encode_speech(read_audio(folder / "speech.wav"), 25, model.config.speech)
    here, elsewhere = (replace(speech, features=speech.features[part], seconds=0.32) for part in (HERE, ELSEWHERE))
    motion = speech_to_motion(model.motion_net, speech)[HERE]

    def animate(identity: Identity = identity, speech: Speech = here, **settings: object) -> Tensor:
        chosen = SamplingSettings(**settings)  # type: ignore[arg-type]
        frames = torch.cat(list(model.animate(identity, speech, Style(), motion, chosen, "crop")))
        return interpolate(frames, (SIZE, SIZE), mode="bilinear", antialias=True)

    landmarks = build_structure(identity, motion, model.basis, model.config).landmarks
    region = mouth_region(landmarks, SIZE)
    return Demo(replace(identity, tokens=tokens), elsewhere, animate, animate(), region)


@pytest.fixture(scope="module")
def seed_change(demo: Demo) -> float:
    return max(demo.change(seed=1), demo.change(seed=2))


@pytest.mark.parametrize("branch", ["identity", "speech", "structure"])
def test_without_a_branch_the_mouth_is_another(demo, seed_change, branch):
    assert demo.change(scales=Scales(**{branch: 0.0})) > seed_change


def test_another_persons_tokens_make_another_mouth(demo, seed_change):
    assert demo.change(identity=demo.other_identity) > seed_change


def test_other_words_make_another_mouth(demo, seed_change):
    assert demo.change(speech=demo.other_speech) > seed_change
