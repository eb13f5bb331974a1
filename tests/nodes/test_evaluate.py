"""Frames are judged with their sound, by networks that had no part in making them."""

import gzip
import json

import pytest
import torch
from seeded import seeded


@pytest.fixture(scope="module")
def seconds() -> int:
    return 2


@pytest.fixture
def speech(run, nodes, seconds):
    """The first seconds of the demo speech."""
    name = nodes["PortraitTalkLoadAudio"].GET_NODE_INFO_V1()["input"]["required"]["audio"][1]["default"]
    return run("PortraitTalkLoadAudio", audio=name, start=0.0, duration=float(seconds))[0]


def test_a_talking_portrait_follows_its_speech_and_a_still_one_does_not(run, nodes, portrait, speech, seconds):
    name = nodes["PortraitTalkModelLoader"].GET_NODE_INFO_V1()["input"]["required"]["model"][1]["default"]
    model = run("PortraitTalkModelLoader", model=name)[0]
    face = {"face": "largest"}
    identity = run(
        "PortraitTalkIdentityEncode", model=model, references={"reference0": portrait}, face=face, max_side=0
    )[0]
    settings = dict(head_motion=1.0, expression_strength=1.0, seed=0)
    motion = run("PortraitTalkSpeechToMotion", model=model, audio=speech, **settings)[0]
    settings = dict(seed=0, steps=1, fps=24.0, output={"output": "frames"}, window=12, overlap=4)
    settings |= dict(identity_scale=1.0, audio_scale=1.0, structure_scale=1.0)
    inputs = dict(model=model, identity=identity, audio=speech, motion=motion)
    frames, _, fps, _ = run("PortraitTalkAnimateNetSampler", **inputs, **settings)
    talking, report = run("PortraitTalkEvaluate", frames=frames, audio=speech, fps=fps)
    assert talking > 0.2 and report.startswith(f"ADFD {talking:.2f}") and "100 % of the frames" in report
    assert "LSE" not in report  # SyncNet's weights are not there
    still = run("PortraitTalkEvaluate", frames=portrait.expand(26, -1, -1, -1), audio=speech, fps=25.0)
    assert still[0] < 0.02
    late = {**speech, "waveform": speech["waveform"].roll(int(0.3 * speech["sample_rate"]), -1)}
    assert run("PortraitTalkEvaluate", frames=frames, audio=late, fps=fps)[0] < talking


def test_what_cannot_be_judged_is_refused_in_words(run, portrait, speech, library):
    with pytest.raises(library("errors").MediaError, match="less than a second"):
        run("PortraitTalkEvaluate", frames=portrait.expand(5, -1, -1, -1), audio=speech, fps=25.0)
    with pytest.raises(library("errors").FaceError, match="No frame shows a face"):
        run("PortraitTalkEvaluate", frames=torch.zeros(25, 64, 64, 3), audio=speech, fps=25.0)


def test_with_syncnets_weights_there_its_scores_are_in_the_report(run, folders, repository, portrait, speech, library):
    frames = portrait.expand(26, -1, -1, -1)
    metrics = folders["models"] / "metrics"
    metrics.mkdir()
    keys = json.loads(gzip.decompress((repository / "tests" / "data" / "metric_keys.json.gz").read_bytes()))
    torch.save(seeded(keys["syncnet_v2.model"]), metrics / "syncnet_v2.model")
    report = run("PortraitTalkEvaluate", frames=frames, audio=speech, fps=25.0)[1].splitlines()
    assert report[-2].startswith("LSE-C ") and report[-1].startswith("LSE-D ")
    (metrics / "syncnet_v2.model").write_bytes(b"none")
    with pytest.raises(library("errors").WeightsError, match=r"syncnet_v2\.model is damaged"):
        run("PortraitTalkEvaluate", frames=frames, audio=speech, fps=25.0)
