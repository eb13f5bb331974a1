"""What a person says and does, for as many frames as a test animates."""

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing import mouth_window, teeth
from portraittalk.compositing.teeth import mouth_interior
from portraittalk.motion.track import MotionTrack
from portraittalk.types import Speech, Tongue

FPS = 25.0


@pytest.fixture(scope="module", autouse=True)
def _pictures_seen_once(pictures_seen_once):
    """Most tests here look at the same few pictures."""


@pytest.fixture(scope="module")
def length(request) -> int:
    """The number of frames: FRAMES of the test's file."""
    return request.module.FRAMES


@pytest.fixture(scope="module")
def noise_speech(length) -> Speech:
    """Speech of random features."""
    features = torch.randn(length, 20, 80, generator=torch.Generator().manual_seed(5))
    return Speech(features, FPS, length / FPS)


@pytest.fixture
def painted_tongues(monkeypatch) -> list[Tongue | None]:
    """The tongues of the mouths that are painted from here on, in order."""
    tongues = []

    def record(*given, tongue=None, **named):
        tongues.append(tongue)
        return mouth_interior(*given, tongue=tongue, **named)

    for module in (teeth, mouth_window):
        monkeypatch.setattr(module, "mouth_interior", record)
    return tongues


@pytest.fixture(scope="module")
def opening(length) -> MotionTrack:
    """A mouth that opens."""
    expression = torch.zeros(length, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = torch.linspace(0, 0.8, length)
    return MotionTrack.of_expression(expression, FPS)
