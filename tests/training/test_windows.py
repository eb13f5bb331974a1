"""Mouth windows: cutting, pairs, and both networks trained for a moment on the film of the demo portrait."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from portraittalk.compositing.mouth_window import MouthWindow, mouth_window
from portraittalk.compositing.teeth import Dentition
from portraittalk.config import MINI
from portraittalk.errors import MediaError
from portraittalk.face.mesh import MeshProvider
from portraittalk.models.autoencoder import Autoencoder
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import lip_aperture
from portraittalk.training.animate import windows
from portraittalk.training.animate.adversary import PatchDiscriminator, adversarial_losses
from portraittalk.training.animate.driven_portraits import set_lips
from portraittalk.training.animate.perceptual import random_cuts
from portraittalk.training.animate.window_autoencoder import (
    WindowAutoencoderTraining,
    read_window_autoencoder,
    train_window_autoencoder,
)
from portraittalk.training.animate.window_pairs import (
    WindowPairSettings,
    make_window_pairs,
    warped_window,
    write_driven_mouths,
    write_window_pairs,
)
from portraittalk.training.animate.windows import WindowAnimateNetworks, WindowAnimateTraining
from portraittalk.training.data.mouths import CROP, PICTURE, WINDOW, read_mouths, spread, write_mouths
from portraittalk.training.data.tracks import write_tracks
from portraittalk.training.trainer import TrainerConfig

TRAINER = TrainerConfig(steps=12, learning_rate=3e-3, warmup=3, bf16=False, ema=0.8, log_every=4)
TINY_AUTOENCODER = replace(MINI.autoencoder, block_out_channels=(16, 16), latent_channels=4)
TINY = replace(
    MINI,
    autoencoder=TINY_AUTOENCODER,
    identity_net=replace(MINI.identity_net, widths=(16, 16, 16, 16), depth=1),
    animate_net=replace(MINI.animate_net, block_out_channels=(32, 32), token_dim=32, text_dim=32),
)


@pytest.fixture(scope="module")
def tracks(film, tmp_path_factory):
    out = tmp_path_factory.mktemp("tracks")
    write_tracks([film], out, MeshProvider())
    return out


@pytest.fixture(scope="module")
def mouths(film, tracks, tmp_path_factory):
    """Mouth clips: eight frames of the film, and the demo portrait as it is."""
    from tests.training.conftest import ASSETS

    out = tmp_path_factory.mktemp("mouths")
    write_mouths({film: 8}, [ASSETS / "portrait.jpg"], tracks, MeshProvider(), TINY.speech, out)
    return out


@pytest.fixture(scope="module")
def window_pairs(mouths, tmp_path_factory):
    out = tmp_path_factory.mktemp("window_pairs")
    write_window_pairs({path: 6 for path in sorted(mouths.iterdir())}, WindowPairSettings(), 0, out)
    return sorted(out.glob("*.safetensors"))


def test_mouths_lie_in_the_middle_of_their_pictures(mouths, film):
    clip = read_mouths(mouths / f"{film.stem}.safetensors")
    assert clip.pictures.shape == (8, 3, PICTURE, PICTURE)
    assert clip.speech is not None and len(clip.speech) == 8
    lips = clip.landmarks[:, 13, :2] / CROP
    middle = clip.covers.corner + clip.covers.side / 2
    assert ((lips - middle).abs() < 0.1).all()
    assert read_mouths(mouths / "portrait.safetensors").speech is None


def test_something_else_is_not_a_mouth_clip(clips):
    with pytest.raises(MediaError, match="not a mouth clip"):
        read_mouths(next(clips.glob("*.safetensors")))


def test_frames_are_spread_from_shut_to_wide_in_order_of_time():
    aperture = torch.tensor([0.3, 0.0, 0.2, 0.25, 0.1, 0.05])
    assert spread(aperture, 3).tolist() == [0, 1, 2] or spread(aperture, 3).tolist() == [0, 1, 4]
    assert spread(aperture, 10).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_pair_at_rest_is_the_picture_itself(mouths, film):
    """Warped from a frame onto its own landmarks, a window is what was cut; onto others, it comes nearer to them."""
    clip = read_mouths(mouths / f"{film.stem}.safetensors")
    first = type(clip)("x", clip.pictures[:1], clip.landmarks[:1], clip.blendshapes[:1], clip.covers, clip.speech[:1])
    plain = WindowPairSettings(shape=0, darker=0, shift=0)
    pair = make_window_pairs(first, 1, plain, Generator().manual_seed(0))
    assert (pair["warped"].float() - pair["target"].float()).abs().mean() < 2.0
    assert torch.equal(pair["reference"][0, 0], pair["target"][0])
    assert pair["warped"].shape == (1, 3, WINDOW, WINDOW)


def test_pairs_are_lit_by_the_eyes_of_the_whole_face(mouths):
    """A mouth of a picture in which black is black is painted darker than that of a film, where it is grey."""
    clip = read_mouths(next(mouths.glob("*.safetensors")))
    assert clip.black is not None and 0 <= float(clip.black) < 0.5
    points = clip.landmarks[:1]
    shut, wide = (set_lips(points, torch.tensor([gap]), load_basis()) for gap in (0.0, 0.25))
    clip = replace(clip, landmarks=shut, pictures=clip.pictures.float() / 255)
    window = mouth_window(shut[0], CROP)
    clear, film = (
        warped_window(replace(clip, black=black), 0, None, wide, window, 64, load_basis())
        for black in (torch.tensor(0.0), None)
    )
    assert (film - clear).amax() > 0.1


def test_warped_mouths_come_nearer_to_the_target(window_pairs):
    (path,) = window_pairs  # a portrait alone gives no pairs
    from portraittalk.tensor_files import read_tensors

    pairs = {name: tensor.float() for name, tensor in read_tensors(path)[1].items()}
    warped = (pairs["warped"] - pairs["target"]).abs().mean()
    unmoved = (pairs["reference"][:, 0] - pairs["target"]).abs().mean()
    assert warped < 0.7 * unmoved


def test_a_driven_portrait_moves_its_lips(tracks, tmp_path):
    from tests.training.conftest import ASSETS

    row = torch.zeros(4, 160, 320)
    row[[0, 2], 40:80] = 0.9
    files, portrait = sorted(tracks.glob("*.safetensors")), ASSETS / "portrait.jpg"
    write_driven_mouths([portrait], files, 4, Dentition(row, row.flip(1)), load_basis(), MeshProvider(), 0, tmp_path)
    clip = read_mouths(tmp_path / "portrait.safetensors")
    assert len(clip) == 5 and clip.speech is None
    assert lip_aperture(clip.landmarks).max() > lip_aperture(clip.landmarks).min() + 0.01


@pytest.mark.parametrize("adversary", [0.0, 0.05])
def test_the_autoencoder_of_windows_lowers_its_loss(mouths, tmp_path, losses, adversary):
    training = WindowAutoencoderTraining(batch=2, features=0, adversary=adversary, trainer=TRAINER)
    files = sorted(mouths.glob("*.safetensors"))
    train_window_autoencoder(files, TINY_AUTOENCODER, training, tmp_path, validation=files[:1])
    told = losses(tmp_path, "pixels")
    assert told[-1] < 0.8 * told[0]
    assert list((tmp_path / "pictures").glob("reconstruction_*.png"))
    read = read_window_autoencoder(tmp_path / "weights.safetensors", TINY_AUTOENCODER)
    assert read.encode(torch.rand(1, 3, WINDOW, WINDOW)).shape == (1, 4, WINDOW // 8, WINDOW // 8)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return WindowAnimateNetworks(TINY, Autoencoder(TINY.autoencoder))


def test_animate_net_learns_on_windows_and_shows_pictures(window_pairs, model, tmp_path, losses):
    training = WindowAnimateTraining(batch=2, features=0, adversary=0.02, trainer=TRAINER)
    before = {name: value.clone() for name, value in model.autoencoder.state_dict().items()}
    windows.train_windows(window_pairs, model, TINY, training, tmp_path, window_pairs)
    told = losses(tmp_path, "pixels")
    assert told[-1] < told[0]
    assert list((tmp_path / "pictures").glob("reference_warp_ours_target_*.png"))
    assert all(torch.equal(value, before[name]) for name, value in model.autoencoder.state_dict().items())


def test_every_condition_acts(window_pairs, model):
    pairs = windows.WindowPairs(window_pairs, TINY.structure.map_size)
    batch = windows.stacked([windows.example(pairs.draw(0, Generator().manual_seed(3)), TINY, 2)])
    noise = torch.zeros(1, 4, 1, TINY.latent_size, TINY.latent_size)

    def drawn(changed):
        conditions = windows.window_conditions(model, {**batch, **changed}, TINY)
        return windows.draw_window(model, batch["warped"], conditions, noise, TINY)

    with torch.no_grad():
        plain = drawn({})
        for name in ("reference", "speech", "expression", "map", "warped", "region"):
            assert not torch.equal(drawn({name: 1 - batch[name]}), plain), name
        assert torch.equal(drawn({"target": 1 - batch["target"]}), plain)


def test_mirrored_examples_mirror_everything(window_pairs):
    pairs = windows.WindowPairs(window_pairs, TINY.structure.map_size)
    sample = windows.example(pairs.draw(0, Generator().manual_seed(0)), TINY, 2)
    mirrored = next(
        made
        for seed in range(20)
        if not torch.equal(
            (made := windows.augmented(sample, 0.0, Generator().manual_seed(seed)))["map"], sample["map"]
        )
    )
    for name in ("map", "region", "opening"):
        assert torch.equal(mirrored[name], sample[name].flip(-1))
    assert torch.equal(mirrored["expression"][windows.MIRRORED], sample["expression"])


def test_the_discriminator_and_the_generator_learn_apart():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    made, real = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
    generator_loss, discriminator_loss = adversarial_losses(discriminator, made, real)
    generator_loss.backward(retain_graph=True)
    assert made.grad is not None and all(p.grad is None for p in discriminator.parameters())
    made.grad = None
    discriminator_loss.backward()
    assert made.grad is None and all(p.grad is not None for p in discriminator.parameters())


def test_cuts_are_the_same_places_of_all_tensors():
    places = torch.arange(3 * 40 * 40.0).view(3, 1, 40, 40)
    cuts, others = random_cuts((places, -places), 16, 5, Generator().manual_seed(0))
    assert cuts.shape == (5, 1, 16, 16) and torch.equal(cuts, -others)
    assert len({float(cut[0, 0, 0]) for cut in cuts}) > 1
    assert random_cuts((places,), 64, 2, Generator().manual_seed(0))[0].shape == (2, 1, 40, 40)


def test_a_window_is_placed_by_the_portrait_not_by_the_frame(mouths, film):
    clip = read_mouths(mouths / f"{film.stem}.safetensors")
    assert isinstance(clip.covers, MouthWindow)
    pair = make_window_pairs(clip, 2, WindowPairSettings(shape=0, darker=0, shift=0), Generator().manual_seed(0))
    nose = pair["landmarks"][:, 2, :2]
    assert (nose[:, 1] < WINDOW / 2).all()
