"""Both stages on pair files made from the demo portrait: what is built is read, and the loss falls."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import portraittalk
from portraittalk.config import MINI
from portraittalk.face.align import aligned_crop, extract_crop, to_crop
from portraittalk.face.draw import MAP_CHANNELS
from portraittalk.face.manual import face_in_box
from portraittalk.media.image import read_image
from portraittalk.models.animate_net import Conditions
from portraittalk.models.autoencoder import Autoencoder
from portraittalk.motion.basis import load_basis
from portraittalk.training.animate import AnimateTraining, Networks, batches, mouth_cells, train_animate
from portraittalk.training.data import Clip
from portraittalk.training.pairs import PairSettings, make_pair
from portraittalk.training.prepare import write_clip
from portraittalk.training.teeth import Dentition
from portraittalk.training.trainer import TrainerConfig

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo" / "portrait.jpg"
TINY = replace(
    MINI,
    crop_size=64,
    autoencoder=replace(MINI.autoencoder, block_out_channels=(16, 16, 16), latent_channels=4),
    identity_net=replace(MINI.identity_net, widths=(16, 16, 16, 16), input_size=32, depth=1),
    structure=replace(MINI.structure, map_size=16, flow_size=16),
    animate_net=replace(MINI.animate_net, block_out_channels=(32, 32), token_dim=32, text_dim=32, residual_scale=3.0),
)
FRAMES = 10


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> list[Path]:
    """A video (the portrait, shifting) of two speakers, and a still, as pair files."""
    folder = tmp_path_factory.mktemp("pairs")
    torch.manual_seed(0)
    image = read_image(DEMO).pixels
    face = face_in_box((230.0, 170.0, 530.0, 560.0))
    crop = aligned_crop(face.landmarks, tuple(image.shape[-2:]), TINY.crop_size)
    still = (extract_crop(image, crop).clamp(0, 1) * 255).byte()[None]
    points = to_crop(face.landmarks, crop)[None]
    sway = torch.linspace(-2, 2, FRAMES)[:, None, None] * torch.tensor([1.0, 0, 0])
    sources = {
        "still": {"frames": still, "landmarks": points, "blendshapes": torch.rand(1, 52)},
        "a_1": {
            "frames": torch.cat([still.roll(int(s), -1) for s in sway[:, 0, 0].round()]),
            "landmarks": points + sway,
            "blendshapes": torch.rand(FRAMES, 52),
            "speech": torch.randn(FRAMES, 20, 80).half(),
        },
    }
    sources["b_1"] = sources["a_1"]
    basis = load_basis()
    autoencoder = Autoencoder(TINY.autoencoder).eval()
    for name, tensors in sources.items():
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.clip")
    driver = Clip(folder / "a_1.clip")
    generator = torch.Generator().manual_seed(1)
    settings = PairSettings(shift=2.0, shape=2.0, frames=6)
    teeth = Dentition(torch.rand(4, 20, 32), torch.rand(4, 20, 32))
    for name, kind in (("still", "still"), ("still", "driven"), ("a_1", "video"), ("b_1", "video")):
        clip = Clip(folder / f"{name}.clip")
        pair = make_pair(clip, driver, teeth, kind, autoencoder, basis, TINY, settings, generator)
        write_clip(folder / f"{name}.{kind}.0.safetensors", pair)
    return sorted(folder.glob("*.safetensors"))


def training(stage: int, steps: int = 0) -> AnimateTraining:
    trainer = TrainerConfig(steps=steps, learning_rate=2e-3, warmup=5, bf16=False, ema=0.8)
    return AnimateTraining(
        stage=stage, window=4, batch=4, dropout=0.0, feature_dropout=0.0, first=1.0, part=None, trainer=trainer
    )


def test_batches_have_the_layout_of_the_conditions(pairs):
    side, tokens = TINY.latent_size, TINY.structure.coefficients
    batch = next(batches(pairs, {}, TINY, training(1)))
    assert batch["target"].shape == (4, 4, 1, side, side)
    assert batch["structure"].shape == (4, 1, tokens)
    windows = next(batches(pairs, {}, TINY, replace(training(2), batch=8)))
    assert windows["target"].shape == (2, 4, 4, side, side)
    assert windows["speech"].shape == (2, 4, 20, 80)


def test_a_part_is_cut_about_the_mouth_or_the_eyes(pairs):
    mouths, eyes = (
        next(batches(pairs, {}, TINY, replace(training(2), batch=64, part=2, eyes=share, shares={"video": 1.0})))
        for share in (0, 1)
    )
    fine = TINY.structure.map_size // TINY.latent_size
    for batch in (mouths, eyes):
        assert batch["target"].shape[-2:] == batch["mask"].shape[-2:] == (2, 2)
        assert batch["map"].shape[-2:] == (2 * fine, 2 * fine)
    lips, open_eyes = MAP_CHANNELS.index("outer lips"), MAP_CHANNELS.index("open eyes")
    assert mouths["map"][:, :, lips].mean() > eyes["map"][:, :, lips].mean()
    assert eyes["map"][:, :, open_eyes].mean() > mouths["map"][:, :, open_eyes].mean()


def test_kinds_come_in_their_shares(pairs):
    only = replace(training(1), shares={"video": 0.0, "driven": 1.0, "still": 0.0}, batch=32)
    assert next(batches(pairs, {}, TINY, only))["speech"].abs().amax((1, 2, 3)).gt(0).all()
    still = replace(only, shares={"video": 0.0, "driven": 0.0, "still": 1.0})
    assert not next(batches(pairs, {}, TINY, still))["speech"].any()


def test_a_step_shows_one_or_several_references(pairs):
    counts = []
    for chances in ((1.0,), (0.0, 1.0), (0.0, 0.0, 1.0)):
        shown = next(batches(pairs, {}, TINY, replace(training(1), references=chances, batch=8)))["reference"]
        counts.append(shown.shape[1])
        assert shown.shape[2] == 3 and shown.min() >= 0 and shown.max() <= 1
    assert counts == [1, 2, 3]
    assert not torch.equal(shown[:, 0], shown[:, 1])


def test_the_loss_looks_most_at_the_mouth(pairs):
    batch = next(batches(pairs, {}, TINY, training(2)))
    cells = mouth_cells(batch["map"], TINY.latent_size)
    assert cells.shape == (1, 1, 4, TINY.latent_size, TINY.latent_size)
    rows = cells.mean((0, 1, 2, 4))
    assert rows.argmax() >= TINY.latent_size // 2
    assert cells[..., 0, :].max() < 0.05


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_lowers_its_loss_and_stage_two_leaves_identity_alone(pairs, stage, tmp_path, caplog):
    torch.manual_seed(0)
    networks = Networks(TINY)
    before = {name: value.clone() for name, value in networks.identity_net.state_dict().items()}
    settings = replace(training(stage, steps=60), trainer=replace(training(stage, 60).trainer, log_every=10))
    known = torch.nn.functional.normalize(torch.randn(1, TINY.identity_net.embedding_dim), dim=1)
    with caplog.at_level("INFO", logger="portraittalk.training.trainer"):
        trained = train_animate(pairs, {"a_1": known}, networks, TINY, settings, tmp_path)
    losses = [float(r.getMessage().split("loss ")[1].split()[0]) for r in caplog.records if "loss" in r.getMessage()]
    assert losses[-1] < 0.8 * losses[0]
    same = [torch.equal(value, before[name]) for name, value in trained.identity_net.state_dict().items()]
    assert all(same) if stage == 2 else not all(same)


def test_after_stage_one_frames_are_still_independent(pairs, tmp_path):
    trained = train_animate(pairs, {}, Networks(TINY), TINY, training(1, steps=2), tmp_path)
    sample = next(batches(pairs, {}, TINY, training(2)))
    noisy = torch.randn_like(sample["target"])

    def velocity(frames: slice) -> Tensor:
        identity = trained.identity_net(sample["reference"][0])[None]
        conditions = Conditions(
            *(sample[name][:, :, frames] for name in ("warped", "mask")),
            sample["map"][:, frames], identity, sample["speech"][:, frames], sample["structure"][:, frames],
        )  # fmt: skip
        with torch.no_grad():
            return trained.animate_net(noisy[:, :, frames], torch.tensor(999), conditions)

    torch.testing.assert_close(velocity(slice(1, 3))[:, :, :1], velocity(slice(1, 2)), atol=1e-4, rtol=1e-3)
