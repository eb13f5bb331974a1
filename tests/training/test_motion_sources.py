"""Recordings to train the motion network on, how far its coefficients go, and a run that resumes."""

import wave
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator
from typer.testing import CliRunner

from portraittalk import cli
from portraittalk.config import MINI, MotionNetConfig
from portraittalk.errors import MediaError, MotionError, SettingsError
from portraittalk.media.audio import read_audio
from portraittalk.models.face_basis import load_basis
from portraittalk.models.motion_net import AMPLITUDES, BOTH_SIDES, JAW_OPEN, SPOKEN_NAMES, MotionNet, full_amplitude
from portraittalk.speech.features import encode_speech
from portraittalk.speech.phones import PHONE_INDEX, SILENT
from portraittalk.training.motion import speech
from portraittalk.training.motion.amplitude import SHAPING, calibrate, fit_amplitude
from portraittalk.training.motion.held_out import held_out_figures
from portraittalk.training.motion.recordings import captured, sound_of
from portraittalk.training.motion.speech import MotionTrainingConfig, Sources, phone_loss, train
from portraittalk.training.motion.speech_data import UNKNOWN, at_frames, load_utterance, to_spectra, wordless
from portraittalk.training.trainer import TrainerConfig

TINY = replace(MINI, motion_net=MotionNetConfig(width=16, layers=2))
PUCKER = SPOKEN_NAMES.index("mouthPucker")


@pytest.fixture(scope="module")
def take(repository, tmp_path_factory):
    """The demo speech after a pause, with a captured jaw and a captured smile at 30 fps; the rig has nothing else."""
    folder = tmp_path_factory.mktemp("takes")
    with (
        wave.open(str(repository / "portraittalk/assets/demo/speech.wav")) as demo,
        wave.open(str(folder / "take[1].wav"), "wb") as file,
    ):
        file.setparams(demo.getparams())
        file.writeframes(b"\0" * (demo.getsampwidth() * demo.getframerate() // 2))  # half a second of silence
        file.writeframes(demo.readframes(demo.getnframes()))
    seconds = np.arange(210) / 30
    speaks = (seconds > 0.7) & (seconds < 6)
    jaw = 0.1 + speaks * (0.2 + 0.2 * np.sin(2 * np.pi * 4 * seconds))
    smile = 0.05 + 0.3 * speaks
    names = ["jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft"]
    np.savez(folder / "take[1].npz", arkit=np.stack((jaw, smile, smile, 0 * jaw), 1), arkit_names=names, fps=30)
    return folder / "take[1].npz"


@pytest.fixture(scope="module")
def basis():
    return load_basis()


def test_a_capture_is_relative_to_rest_and_says_what_it_lacks(take, basis):
    recording = captured(take, None, basis)
    assert recording.sound == sound_of(take) == take.with_suffix(".wav")
    known = ~recording.motion.isnan()
    assert known.all(0).nonzero()[:, 0].tolist() == [JAW_OPEN, SPOKEN_NAMES.index("mouthSmile")]
    assert len(recording.motion) == 175
    assert recording.motion[:5, JAW_OPEN].max() < 0.01  # 0.1 is how this jaw rests
    assert recording.motion[20:140, JAW_OPEN].max() == pytest.approx(0.4, abs=0.03)


def test_a_capture_without_sound_is_refused(take, tmp_path):
    (tmp_path / "take.npz").write_bytes(take.read_bytes())
    with pytest.raises(MotionError, match=r"no sound for take\.npz: put it beside it, as take\.wav"):
        sound_of(tmp_path / "take.npz")


def test_unknown_phones_are_told_from_silence(take, basis):
    recording = captured(take, None, basis)
    utterance = load_utterance(recording.sound, None, recording.motion, TINY.speech)
    assert set(utterance.phones.tolist()) == {UNKNOWN, PHONE_INDEX["SIL"]}
    assert (utterance.phones[:40] == SILENT).all() and (utterance.phones[100:300] == UNKNOWN).float().mean() > 0.8
    again = at_frames(utterance.motion, TINY.speech)
    assert torch.allclose(again[2:170], recording.motion[2:170], atol=0.06, equal_nan=True)


def test_of_an_unknown_phone_only_silence_is_wrong():
    logits = torch.zeros(2, 40)
    logits[0, SILENT] = logits[1, 5] = 20
    silent, speaks = (phone_loss(logits[[row]], torch.tensor([UNKNOWN])).item() for row in (0, 1))
    assert silent > 10 and speaks < 1e-3
    known = phone_loss(logits, torch.tensor([SILENT, 5]))
    assert known == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor([SILENT, 5])).item(), abs=1e-6)


def test_the_amplitude_of_a_known_curve_is_found():
    generator = Generator().manual_seed(0)
    predicted = 0.3 * torch.rand(4000, 2, generator=generator)
    real = torch.tensor([3.0, 2.0]) * (predicted - torch.tensor([0.1, 0.0])).clamp_min(0)
    threshold, gain = fit_amplitude(predicted, real[torch.randperm(4000, generator=generator)])  # in any order
    assert torch.allclose(threshold, torch.tensor([0.1, 0.0]), atol=0.01)
    assert torch.allclose(gain, torch.tensor([3.0, 2.0]), rtol=0.05)


def test_calibration_gives_a_network_the_distribution_of_its_speakers(take, basis):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MotionNet(TINY).eval().requires_grad_(False)
    net.to_phones.bias[SILENT] = -20  # speaks all the time
    recording = captured(take, None, basis)
    utterance = load_utterance(recording.sound, None, recording.motion, TINY.speech)
    made = at_frames(utterance.motion, TINY.speech)
    before = net.to_motion.weight.clone()
    calibrate(net, [[]], basis, TINY.speech)
    assert torch.equal(net.to_motion.weight, before)
    generator = Generator().manual_seed(1)
    real = torch.rand(len(made), len(SPOKEN_NAMES), generator=generator) ** 3 * 0.12
    real[:, PUCKER] *= 3
    real[:, SPOKEN_NAMES.index("mouthPress")] = torch.nan
    one = replace(utterance, motion=to_spectra(real, len(utterance.power), TINY.speech))
    calibrate(net, [[one], []], basis, TINY.speech)
    target = at_frames(one.motion, TINY.speech)
    features = encode_speech(read_audio(recording.sound), 25, TINY.speech).features[: len(target)]
    raw = net(features[None])[0][0]
    shown = full_amplitude(raw, torch.ones(len(raw), 1))
    for index in SHAPING:
        if target[:, index].isnan().any():
            assert torch.equal(net.to_motion.weight[index], before[index])
        elif AMPLITUDES[2, index] > 0.4:  # not cut off
            assert shown[:, index].std() == pytest.approx(target[:, index].std().item(), rel=0.3)


def test_figures_of_what_was_recorded_are_those_of_a_real_speaker(take, basis, monkeypatch):
    recording = captured(take, None, basis)
    real = recording.motion.nan_to_num() @ BOTH_SIDES.T
    net = MotionNet(TINY)
    monkeypatch.setattr(net, "expression", lambda features: (real, torch.zeros(len(real))))
    figures = held_out_figures(net, [recording], basis, TINY.speech)
    assert all(value.item() == pytest.approx(1, abs=1e-4) for value in figures.values())
    assert "closure" not in figures
    monkeypatch.setattr(net, "expression", lambda features: (0.5 * real, torch.zeros(len(real))))
    assert held_out_figures(net, [recording], basis, TINY.speech)["lip_dynamics"] == pytest.approx(0.5, abs=0.05)


def config(steps: int) -> MotionTrainingConfig:
    return MotionTrainingConfig(
        batch_size=2, frames=20, trainer=TrainerConfig(steps=steps, warmup=2, ema=0.5, log_every=1)
    )


def test_a_run_on_motion_capture_alone_resumes_to_the_bit(take, basis, tmp_path, losses, monkeypatch):
    monkeypatch.setattr(speech, "wordless", lambda count, *rest: wordless(1, *rest))  # silence alone

    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    sources = Sources((), None, None, (), (), (take,))
    train(sources, sources, basis, tmp_path / "whole", TINY, config(4))
    assert 0 < losses(tmp_path / "whole", "validation/lip_dynamics")[-1] < 10
    draw, drawn = speech.batches, []

    def interrupted(*arguments, **options):
        inner = draw(*arguments, **options)

        def one(generator):
            drawn.append(1)
            return stop() if len(drawn) > 2 else inner(generator)

        return one

    with monkeypatch.context() as patched:
        patched.setattr(speech, "batches", interrupted)
        often = replace(config(4), trainer=replace(config(4).trainer, checkpoint_seconds=0))
        with pytest.raises(Stopped):
            train(sources, None, basis, tmp_path / "parts", TINY, often)
    train(sources, None, basis, tmp_path / "parts", TINY, config(4))
    whole, parts = (load_file(tmp_path / run / "weights.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_what_cannot_be_trained_on_is_said(take, basis, repository, tmp_path):
    clip = repository / "portraittalk/assets/demo/speech.wav"
    with pytest.raises(SettingsError, match="give --tracks"):
        Sources((clip,), None, None, ()).recordings(basis)
    with pytest.raises(MediaError, match="or give motion capture"):
        train(Sources((), None, None, ()), None, basis, tmp_path / "a", TINY, config(1))
    with pytest.raises(MediaError, match="no recording has a phone file"):
        train(Sources((), None, None, (clip,), (), (take,)), None, basis, tmp_path / "b", TINY, config(1))


def test_the_command_trains_on_captures_and_holds_some_out(take, repository, tmp_path, losses, monkeypatch):
    monkeypatch.setattr(speech, "wordless", lambda count, *rest: wordless(1, *rest))  # silence alone
    folder = tmp_path / "takes"
    folder.mkdir()
    for name in ("anna", "held_1"):
        for suffix in (".npz", ".wav"):
            (folder / f"{name}{suffix}").write_bytes(take.with_suffix(suffix).read_bytes())
    small = ("--set", "network.motion_net={width=16, layers=2}", "--set", "training.batch_size=2", "--steps", "2")
    command = ["train", "motion", "--out", str(tmp_path / "run"), *small]
    none = CliRunner().invoke(cli.app, command)
    assert isinstance(none.exception, SettingsError) and "nothing to train on" in str(none.exception)
    run = CliRunner().invoke(cli.app, [*command, "--mocap", str(folder), "--validation", "held"])
    assert run.exit_code == 0, run.output
    assert len(losses(tmp_path / "run", "validation/lip_dynamics")) == 1
    start = ("--start", str(repository / "portraittalk/assets/mini.safetensors"), "--steps", "1")
    shipped = [*command[:3], str(tmp_path / "shipped"), "--mocap", str(folder), *start]
    run = CliRunner().invoke(cli.app, [*shipped, "--set", "training.batch_size=1"])
    assert run.exit_code == 0, run.output
