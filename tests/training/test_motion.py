"""Training the motion network: its data, its loss, and a short real run that learns."""

import pytest
import torch
from torch import Generator

from portraittalk.config import MotionNetConfig, PortraitTalkConfig
from portraittalk.models.face_basis import FaceBasis
from portraittalk.models.motion_net import BOTH_SIDES, MOTION_FPS, SPOKEN_NAMES, MotionNet
from portraittalk.speech.phones import PHONE_INDEX, Phone
from portraittalk.training.motion.articulation import train_articulator
from portraittalk.training.motion.held_out import correlation
from portraittalk.training.motion.speech import MotionLoss, MotionTrainingConfig
from portraittalk.training.motion.speech_data import (
    Utterance,
    batches,
    load_groups,
    load_utterance,
    sample,
    save_groups,
    to_spectra,
    wordless,
)
from portraittalk.training.trainer import TrainerConfig, fit

TINY = PortraitTalkConfig(motion_net=MotionNetConfig(width=24, layers=2))
JAW = SPOKEN_NAMES.index("jawOpen")


@pytest.fixture(scope="module")
def utterance(repository) -> Utterance:
    """The demo speech, with a jaw that opens and closes three times a second."""
    motion = torch.zeros(168, len(SPOKEN_NAMES))
    motion[:, JAW] = 0.2 + 0.2 * torch.sin(torch.arange(168) * 0.75)
    phones = [Phone(0.3, 0.5, "HH"), Phone(0.5, 1.0, "AH"), Phone(1.0, 1.1, "M")]
    return load_utterance(repository / "portraittalk/assets/demo/speech.wav", phones, motion, TINY.speech)


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    basis = FaceBasis()
    basis.aperture[BOTH_SIDES[:, JAW].argmax()] = 0.4
    return basis


def test_an_utterance_is_one_row_for_each_spectrum(utterance):
    assert len(utterance.power) == len(utterance.phones) == len(utterance.motion) == 675
    assert utterance.phones[105] == PHONE_INDEX["M"]


def test_motion_keeps_its_time_at_the_rate_of_the_spectra():
    motion = (torch.arange(50.0)[:, None] + 0.5) / MOTION_FPS  # its own time in seconds
    times = (torch.arange(200) + 0.5) / 100
    assert torch.allclose(to_spectra(motion, 200, TINY.speech)[4:-4, 0], times[4:-4], atol=1e-5)


def test_groups_are_kept_in_a_file(tmp_path, utterance):
    silence = wordless(3, TINY.speech, Generator().manual_seed(0))
    save_groups(tmp_path / "groups.safetensors", [[utterance], [], silence, []])
    found = load_groups(tmp_path / "groups.safetensors", 4)
    assert [len(group) for group in found] == [1, 0, 3, 0]
    assert torch.equal(found[0][0].power, utterance.power)
    assert torch.equal(found[2][2].motion, silence[2].motion)
    assert found[0][0].gain == utterance.gain


def test_beyond_the_ends_of_an_utterance_the_lips_rest(utterance):
    generator = Generator().manual_seed(0)
    stretches = [sample(utterance, TINY.speech, 300, generator) for _ in range(5)]
    for one in stretches:
        assert one["features"].shape == (300, 20, 80)
        assert not one["motion"][-40:].any() or not one["motion"][:40].any()


def test_wordless_sounds_have_no_motion():
    sounds = wordless(6, TINY.speech, Generator().manual_seed(0))
    assert not sounds[0].power.any()
    assert all(sound.power.any() for sound in sounds[1:])
    assert not any(sound.motion.any() or sound.phones.any() for sound in sounds)


def test_what_is_heard_behind_speech_moves_no_lips(utterance):
    beside = wordless(6, TINY.speech, Generator().manual_seed(0))[3:]
    alone, both = (
        [sample(utterance, TINY.speech, 75, Generator().manual_seed(seed), heard) for seed in range(12)]
        for heard in ((), beside)
    )
    changed = [not torch.equal(a["features"], b["features"]) for a, b in zip(alone, both, strict=True)]
    assert any(changed)
    silent = wordless(1, TINY.speech, Generator())[0]
    drowned = [sample(silent, TINY.speech, 75, Generator().manual_seed(seed), beside) for seed in range(12)]
    assert not any(one["motion"].any() or one["phones"].any() for one in drowned)


def test_loss_minds_lips_that_should_meet(basis):
    loss = MotionLoss(torch.full((len(SPOKEN_NAMES),), 0.1), basis, MotionTrainingConfig())

    def closure(phone: str) -> float:
        motion = torch.zeros(1, 4, len(SPOKEN_NAMES))
        batch = {"features": motion, "motion": motion, "phones": torch.full((1, 4), PHONE_INDEX[phone])}
        return loss(lambda features: (features + 0.2, torch.zeros(1, 4, 40)), batch, Generator())["closure"].item()

    assert closure("AA") == 0
    assert closure("B") > 1


def test_the_articulator_learns_what_lips_do_for_phones(basis):
    def spoken(shift: int) -> tuple[list[Phone], torch.Tensor]:
        phones, motion = [], torch.zeros(60, len(SPOKEN_NAMES))
        for index in range(6):
            start = (10 * index + shift) / MOTION_FPS
            phones += [Phone(start, start + 0.2, "AA"), Phone(start + 0.2, start + 0.4, "B")]
            motion[10 * index + shift : 10 * index + shift + 5, JAW] = 0.5
        return phones, motion[:60]

    net = train_articulator([spoken(shift) for shift in range(4)], Generator().manual_seed(0), steps=60, batch_size=4)
    phones, motion = spoken(2)
    found = net.articulate(phones, 60, basis)
    assert correlation(found[:, JAW], motion[:, JAW]) > 0.9
    assert basis.asked_aperture(found @ BOTH_SIDES.T)[7] == 0  # in the middle of a b
    humming = [Phone(p.start, p.end, "M" if p.name == "B" else p.name) for p in phones]
    assert torch.equal(net.articulate(humming, 60, basis), found)


def test_correlation_finds_a_lag():
    curve = torch.randn(100, generator=Generator().manual_seed(0))
    assert correlation(curve, curve.roll(2), 2) == pytest.approx(1)
    assert abs(correlation(curve, curve.roll(2))) < 0.4


def test_a_short_run_learns(tmp_path, utterance, basis):
    groups = [(0.8, [utterance]), (0.2, wordless(3, TINY.speech, Generator().manual_seed(0)))]
    draw = batches(groups, TINY.speech, 4, 25)
    config = MotionTrainingConfig()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MotionNet(TINY)
        loss = MotionLoss(net.spread.clone(), basis, config)
        held_out = [draw(Generator().manual_seed(seed)) for seed in range(3)]

        def error(model) -> float:
            with torch.no_grad():
                return sum(loss(model.eval(), batch, Generator())["loss"].item() for batch in held_out)

        before = error(net)
        trained = fit(net, draw, loss, TrainerConfig(steps=60, learning_rate=3e-3, warmup=5, ema=0.9), tmp_path)
    assert error(trained) < 0.6 * before
