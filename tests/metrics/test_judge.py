"""A video is judged by its frames and its sound alone, at whatever rate it comes."""

import pytest
import torch

from portraittalk.errors import FaceError, MediaError
from portraittalk.media.audio import read_audio
from portraittalk.metrics.adfd import Adfd
from portraittalk.metrics.dynamics import load_dynamics
from portraittalk.metrics.judge import Judgement, judge, looked_at


@pytest.mark.parametrize(("frames", "fps", "seen"), [(75, 25.0, 75), (30, 30.0, 25), (24, 12.0, 50), (1, 25.0, 1)])
def test_every_rate_is_looked_at_25_times_a_second(frames, fps, seen):
    numbers = looked_at(frames, fps)
    assert len(numbers) == seen and numbers == sorted(numbers) and numbers[0] == 0 and numbers[-1] < frames
    assert all(abs(number / fps - at / 25) <= 1 / fps for at, number in enumerate(numbers))


@pytest.mark.parametrize(("lag", "when"), [(0, "in time"), (2, "late by 80 ms"), (-1, "early by 40 ms")])
def test_the_figures_are_told_in_words(lag, when):
    told = Judgement(Adfd(0.42, 0.7, 0.6, lag), found=0.5, blinks=12.0).sentences()
    assert told.startswith("ADFD 0.42") and when in told and "50 %" in told and "12 blinks" in told


def test_what_shows_no_face_or_is_too_short_is_refused(repository):
    speech = read_audio(repository / "portraittalk/assets/demo/speech.wav", duration=2.0)
    frames = [torch.zeros(3, 32, 32)] * 50
    with pytest.raises(FaceError, match="No frame shows a face"):
        judge(frames, speech, lambda image: [], load_dynamics())
    with pytest.raises(MediaError, match="less than a second"):
        judge(frames[:10], speech, lambda image: [], load_dynamics())
