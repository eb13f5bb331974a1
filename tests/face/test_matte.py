"""The person matte of the demo portrait."""

import pytest
import torch

from portraittalk.errors import WeightsError
from portraittalk.face.guided import guided
from portraittalk.face.matte import FILE, load_matte_net, person_matte, save_matte_net
from portraittalk.face.topology import FACE_OVAL


@pytest.fixture(scope="module")
def whole(portrait) -> tuple[int, int, int, int]:
    return 0, 0, portrait.shape[2], portrait.shape[1]


@pytest.fixture(scope="module")
def matte(portrait, portrait_face, whole) -> torch.Tensor:
    return person_matte(portrait, portrait_face.landmarks, whole)


def test_the_head_is_covered_and_the_wall_is_not(matte, portrait_face):
    assert matte.shape[0] == 1 and matte.min() >= 0 and matte.max() <= 1
    oval = portrait_face.landmarks[list(FACE_OVAL), :2]
    x, y = oval.mean(0).long().tolist()
    top, width = int(oval[:, 1].amin()), int(oval[:, 0].amax() - oval[:, 0].amin())
    assert matte[0, top : y + width // 2, x - width // 3 : x + width // 3].min() > 0.98
    assert matte[0, :y, :20].max() < 0.02 and matte[0, :y, -20:].max() < 0.02
    assert (4 * matte * (1 - matte)).mean() < 0.06  # it decides


def test_a_part_of_the_picture_has_the_same_matte(matte, portrait, portrait_face):
    box = (100, 50, 300, 260)
    torch.testing.assert_close(
        person_matte(portrait, portrait_face.landmarks, box), matte[:, 50:260, 100:300], atol=1e-4, rtol=0
    )


def test_where_the_network_is_lost_everything_belongs_to_the_person(portrait, portrait_face, whole):
    noise = torch.rand(portrait.shape, generator=torch.Generator().manual_seed(0))
    assert person_matte(noise, portrait_face.landmarks, whole).mean() > 0.95


def test_the_guided_filter_finds_the_edge_of_the_picture():
    picture = torch.zeros(3, 32, 32)
    picture[:, :, 16:] = 0.8
    coarse = torch.zeros(1, 32, 32)
    coarse[:, :, 13:] = 1  # three pixels off
    found = guided(coarse, picture, 6, 1e-4)
    assert found[0, 8:-8, 17:].min() > 0.9
    assert found[0, 8:-8, 12].max() < found[0, 8:-8, 17].min() - 0.3
    constant = torch.full((1, 32, 32), 0.3)
    torch.testing.assert_close(guided(constant, picture, 4, 1e-4), constant)


def test_the_shipped_file_is_small_and_survives_a_round_trip(tmp_path):
    assert FILE.stat().st_size < 2**20
    network = load_matte_net()
    save_matte_net(tmp_path / "matte.safetensors", network)
    again = load_matte_net(tmp_path / "matte.safetensors")
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(picture), network(picture))


def test_another_file_is_refused(tmp_path):
    from portraittalk.face.networks import FILE as LANDMARKER

    with pytest.raises(WeightsError, match="person matte"):
        load_matte_net(LANDMARKER)
