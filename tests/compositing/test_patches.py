"""Texture is continued behind a person by patches of what is seen beside."""

import torch
from hidden_background import EYE, FARTHEST, SIZE, hidden_disc, places
from torch import Tensor

from portraittalk.compositing.filling import filled
from portraittalk.compositing.patches import Level, patched


def test_what_is_too_narrow_for_a_patch_is_not_copied():
    known = torch.zeros(1, SIZE, SIZE)
    known[..., :1] = 1
    picture = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    assert torch.equal(patched(picture, known, torch.ones_like(known), EYE, FARTHEST), picture)


def test_offsets_that_lead_nowhere_leave_no_holes():
    picture, known = torch.full((3, SIZE, SIZE), 0.5), hidden_disc()
    level = Level.of(picture, known, torch.ones_like(known), EYE, 0.8, FARTHEST)
    to_themselves = torch.zeros(2, *level.targets.shape, dtype=torch.long)
    offsets, misfit = level.improved(level.colours, to_themselves)
    result = level.averaged(offsets, misfit)
    assert not level.lenders[level.targets].any() and result.isfinite().all()
    assert torch.equal(result, level.colours)


def test_copies_that_fit_badly_are_shown_where_the_background_has_fine_structure_only():
    y, x = places()
    known = hidden_disc(20)

    def shown(background: Tensor, misfit: float) -> float:
        picture = background.expand(3, -1, -1)
        level = Level.of(filled(picture, known), known, torch.ones_like(known), EYE, 1.0, FARTHEST)
        return float(level.fit(torch.full_like(level.trust, misfit))[level.targets].mean())

    ramp, dots = 0.2 + 0.6 * x / SIZE, 0.5 + 0.4 * ((x + y) % 2)
    assert shown(ramp, 0.0) > 0.99
    assert shown(ramp, 0.01) < 0.1
    assert shown(dots, 0.01) > 0.9


def test_what_stands_beside_a_person_is_not_mirrored_into_the_hidden_part():
    _, x = places()
    post = ((x > 78) & (x < 84)).float().expand(3, -1, -1) * 0.6 + 0.2
    known = hidden_disc()
    result = patched(filled(post * known, known), known, torch.ones_like(known), EYE, FARTHEST)
    assert (result - 0.2)[:, known[0] == 0].abs().max() < 0.05
