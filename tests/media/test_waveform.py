"""The outline of a sound: loudness where it is heard, of every part, of any file."""

import wave

import numpy as np
import pytest

from portraittalk.errors import MediaError
from portraittalk.media.audio import read_audio
from portraittalk.media.waveform import read_waveform, waveform_of

RATE = 16000


@pytest.fixture
def tones(tmp_path):
    """One second of silence, one at half of full scale, half a second at full scale."""
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 200 * time)
    samples = np.concatenate((0 * tone, 0.5 * tone, tone[: RATE // 2]))
    with wave.open(str(tmp_path / "tones.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return tmp_path / "tones.wav"


def test_peaks_are_those_of_the_sound(tones):
    sound = read_waveform(tones, 5)
    assert sound.seconds == pytest.approx(2.5) == read_audio(tones).seconds
    assert sound.peaks == pytest.approx([0, 0, 0.5, 0.5, 1], abs=0.01)
    assert len(read_waveform(tones, 100_000).peaks) == 250


def test_sound_in_memory_has_the_same_peaks(tones):
    assert waveform_of(read_audio(tones), 5).peaks == pytest.approx(read_waveform(tones, 5).peaks, abs=0.01)
    assert waveform_of(read_audio(tones), 5).seconds == 2.5


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(MediaError, match=r"text\.wav"):
        read_waveform(tmp_path / "text.wav", 10)
