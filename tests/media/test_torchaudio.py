"""Our resampling against torchaudio's: runs in ComfyUI's Python, which has one."""

import pytest
import torch

from portraittalk.media.resample import sinc_resample, torchaudio_resample

RATES = [(44100, 16000), (48000, 16000), (8000, 16000), (96000, 48000), (22050, 16000), (16000, 44100)]


@pytest.mark.parametrize(("source", "target"), RATES)
def test_our_formula_equals_torchaudio(source: int, target: int) -> None:
    torchaudio = torchaudio_resample()
    assert torchaudio is not None, "run this where torchaudio is: make test-comfyui"
    sound = torch.rand(2, source // 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours, theirs = sinc_resample(sound, source, target), torchaudio(sound, source, target)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-4
