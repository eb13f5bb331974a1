"""Whisper's features: its own spectrogram and layers, in the windows that EchoMimic takes them."""

import pytest
import torch

from portraittalk.media.audio import Audio
from portraittalk.models.speech_encoder import SpeechEncoder
from portraittalk.speech.whisper import encode_speech, log_mel, tokens
from portraittalk.weights.layouts import ECHOMIMIC

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SpeechEncoder(ECHOMIMIC.speech).eval().requires_grad_(False)


def sound(seconds):
    time = torch.arange(int(seconds * 16000)) / 16000
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return 0.3 * torch.sin(700 * time * (1 + time / 10)) + 0.02 * noise


def test_the_spectrogram_is_whispers():
    from transformers import WhisperFeatureExtractor

    wanted = WhisperFeatureExtractor()(sound(30).numpy(), sampling_rate=16000, return_tensors="pt").input_features[0]
    torch.testing.assert_close(log_mel(sound(30), 16000), wanted, atol=1e-4, rtol=0)


def test_the_features_are_those_that_enter_and_leave_whispers_layers(encoder):
    entered = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0])) for layer in encoder.encoder.layers
    ]
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(1))
    features = encoder(mel)
    for hook in hooks:
        hook.remove()
    assert features.shape == (1, 1500, 5, 384)
    for number, layer in enumerate(entered):
        torch.testing.assert_close(features[:, :, number], layer)
    torch.testing.assert_close(features[:, :, 4], encoder.encoder(mel).last_hidden_state)


def test_a_frame_hears_ten_moments_in_the_order_of_time_and_then_of_layers():
    moments = torch.arange(40.0)[:, None, None] * 10 + torch.arange(5.0)[:, None]  # (40, 5, 1)
    found = tokens(moments, 20, 24.0)[:, :, 0]
    assert found.shape == (20, 50)
    first = int(7 * 50 / 24)
    assert found[7].tolist() == [10.0 * time + layer for time in range(first - 4, first + 6) for layer in range(5)]
    assert found[0, :25].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0] * 5  # before the sound, its first moment


def test_speech_has_a_frame_for_every_frame_of_the_video(encoder):
    heard = []
    speech = encode_speech(Audio(sound(31.0)[None], 16000), 24.0, encoder, ECHOMIMIC.speech, heard.append)
    assert speech.features.shape == (744, 50, 384)
    assert [(step.done, step.total) for step in heard] == [(1, 2), (2, 2)]
    assert speech.features.isfinite().all()
