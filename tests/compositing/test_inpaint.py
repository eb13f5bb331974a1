"""What a person hides of the background is filled in: lines go on straight, and texture stays."""

import pytest
import torch
from hidden_background import EYE, FARTHEST, SIZE, hidden_disc, places
from torch import Tensor

from portraittalk.compositing.filling import filled
from portraittalk.compositing.inpaint import continued


def hide(picture: Tensor, known: Tensor) -> Tensor:
    return continued(filled(picture, known), known, torch.ones_like(known), EYE, FARTHEST)


def test_known_pixels_stay_and_a_ramp_is_filled_in_smoothly():
    y, x = (place / SIZE for place in places())
    ramp, known = torch.stack((0.2 + 0.5 * x, 0.6 * y + 0.2, 0.5 + 0.2 * (x - y))), hidden_disc()
    result = filled(ramp * known, known)  # the disc is black
    torch.testing.assert_close(result * known, ramp * known)
    off = (result - ramp)[:, known[0] == 0]
    assert off.mean(1).abs().max() < 0.01 and off.abs().max() < 0.1


def test_filling_a_picture_of_which_nothing_is_known_is_finite():
    nothing = torch.zeros(1, 24, 24)
    assert filled(torch.rand(3, 24, 24, generator=torch.Generator()), nothing).isfinite().all()


def test_lines_run_on_behind_the_person():
    y, _ = places()
    horizon = (y > 50).float().expand(3, -1, -1) * 0.6 + 0.2
    known = hidden_disc()
    result = hide(horizon * known, known)
    assert torch.equal(result * known, horizon * known)
    inside = (known[0] == 0) & (hidden_disc(14)[0] > 0) & ((y - 50.5).abs() > 2)
    assert (result - horizon)[:, inside].abs().max() < 0.1
    assert (filled(horizon * known, known) - horizon)[:, inside].abs().max() > 0.25  # the line is lost


def test_what_stands_beside_a_person_is_not_mirrored_into_the_hidden_part():
    _, x = places()
    post = ((x > 78) & (x < 84)).float().expand(3, -1, -1) * 0.6 + 0.2
    known = hidden_disc()
    result = hide(post * known, known)
    assert (result - 0.2)[:, known[0] == 0].abs().max() < 0.05


@pytest.mark.parametrize("eye", [12.0, EYE, 60.0])
def test_texture_stays_as_sharp_as_it_is(eye: float):
    noise = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    known = hidden_disc()
    result = continued(filled(noise, known), known, torch.ones_like(known), eye, FARTHEST)
    rim = (known[0] == 0) & (hidden_disc(26 - 0.4 * FARTHEST * eye)[0] > 0)
    assert result[:, rim].std() > 0.6 * noise.std()
    assert filled(noise, known)[:, rim].std() < 0.5 * noise.std()


def test_the_same_picture_is_always_filled_in_alike():
    noise = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    known = hidden_disc()
    assert torch.equal(hide(noise, known), hide(noise, known))


@pytest.mark.parametrize("known", [torch.zeros(1, SIZE, SIZE), torch.ones(1, SIZE, SIZE)], ids=["nothing", "all"])
def test_without_a_border_nothing_is_copied(known: Tensor):
    picture = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    assert torch.equal(continued(picture, known, torch.ones_like(known), EYE, FARTHEST), picture)


def test_the_work_can_be_stopped_in_between():
    def stop() -> None:
        raise KeyboardInterrupt

    picture, known = torch.rand(3, SIZE, SIZE, generator=torch.Generator()), hidden_disc()
    with pytest.raises(KeyboardInterrupt):
        continued(picture, known, torch.ones_like(known), EYE, FARTHEST, stop)
