"""A video is judged by its frames and its sound alone, at whatever rate it comes."""

import pytest
import torch

from portraittalk.errors import FaceError, MediaError
from portraittalk.media.audio import read_audio
from portraittalk.metrics.adfd import Adfd
from portraittalk.metrics.dynamics import load_dynamics
from portraittalk.metrics.judge import Judgement, judge, looked_at
from portraittalk.metrics.lip_sync import LipSync


@pytest.mark.parametrize(("frames", "fps", "seen"), [(75, 25.0, 75), (30, 30.0, 25), (24, 12.0, 50), (1, 25.0, 1)])
def test_every_rate_is_looked_at_25_times_a_second(frames, fps, seen):
    numbers = looked_at(frames, fps)
    assert len(numbers) == seen and numbers == sorted(numbers) and numbers[0] == 0 and numbers[-1] < frames
    assert all(abs(number / fps - at / 25) <= 1 / fps for at, number in enumerate(numbers))


@pytest.mark.parametrize(("lag", "when"), [(0, "in time"), (2, "late by 80 ms"), (-1, "early by 40 ms")])
def test_the_figures_are_told_in_words(lag, when):
    told = Judgement(Adfd(0.42, 0.7, 0.6, lag), found=0.5, blinks=12.0).sentences()
    assert told.startswith("ADFD 0.42") and when in told and "50 %" in told and "12 blinks" in told
    assert "LSE" not in told
    judged = Judgement(Adfd(0.42, 0.7, 0.6, 0), found=0.5, blinks=12.0, sync=LipSync(7.25, 6.5, lag)).sentences()
    assert judged.splitlines()[4].startswith("LSE-C 7.25") and judged.splitlines()[5].startswith("LSE-D 6.50")
    assert judged.endswith(when)


def test_with_syncnet_the_lips_are_judged_as_well(repository, metric_nets, portrait, portrait_face):
    speech = read_audio(repository / "portraittalk/assets/demo/speech.wav", duration=1.2)
    stages = []
    judged = judge(
        [portrait] * 30,
        speech,
        lambda image: [portrait_face],
        load_dynamics(),
        lambda progress: stages.append(progress.stage),
        metric_nets.syncnet,
    )
    assert judged.sync is not None and "LSE-C" in judged.sentences()
    assert list(dict.fromkeys(stages)) == ["look at frames", "lip sync"]


def test_what_shows_no_face_or_is_too_short_is_refused(repository):
    speech = read_audio(repository / "portraittalk/assets/demo/speech.wav", duration=2.0)
    frames = [torch.zeros(3, 32, 32)] * 50
    with pytest.raises(FaceError, match="No frame shows a face"):
        judge(frames, speech, lambda image: [], load_dynamics())
    with pytest.raises(MediaError, match="less than a second"):
        judge(frames[:10], speech, lambda image: [], load_dynamics())
