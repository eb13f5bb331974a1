from dataclasses import replace

import pytest
import torch

from portraittalk.arkit import ARKIT_INDEX
from portraittalk.compositing.compose import CropData, paste_back
from portraittalk.compositing.painter import painter_for, parts_of
from portraittalk.compositing.structure import build_structure
from portraittalk.motion.track import MotionTrack
from portraittalk.text.networks import load_look_networks
from portraittalk.types import SamplingSettings, Scales, Speech, Style

pytestmark = pytest.mark.usefixtures("pictures_seen_once")

SETTINGS = SamplingSettings(window=4, overlap=0)


@pytest.fixture(scope="module")
def identity(tiny_model, small_portrait, small_face):
    return tiny_model.encode_identity([small_portrait], faces=[[small_face]])


@pytest.fixture(scope="module")
def animate(tiny_model, identity):
    expression = torch.zeros(2, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = torch.tensor((0.0, 0.8))
    motion, speech = MotionTrack.of_expression(expression, 25.0), Speech(torch.zeros(2, 20, 80), 25.0, 2 / 25)

    def run(style, settings=SETTINGS, output="full"):
        return torch.cat(list(tiny_model.animate(identity, speech, style, motion, settings, output)))

    return run


def style_of(name: str, weight: float = 1.0) -> Style:
    names = load_look_networks().config.looks
    look = torch.zeros(len(names))
    look[names.index(name)] = weight
    return Style(name, look=look)


@pytest.fixture(scope="module")
def plain(animate):
    return animate(Style())


@pytest.fixture(scope="module")
def black_and_white(animate):
    return animate(style_of("black and white photograph"))


def test_without_text_a_look_changes_nothing(animate, plain):
    off = replace(SETTINGS, scales=Scales(text=0))
    assert torch.equal(animate(style_of("oil painting"), off), plain)


def test_a_look_is_steady_where_nothing_moves(plain, black_and_white, identity):
    shown = black_and_white
    x0, y0, x1, y1 = CropData(identity.portrait, identity.crop).box
    still = (plain == plain[:1]).all(0).all(0)
    still[y0:y1, x0:x1] = False
    assert (shown == shown[:1])[:, :, still].all() and not torch.equal(plain, shown)
    assert (shown.amax(1) - shown.amin(1)).mean() < 0.25 * (plain.amax(1) - plain.amin(1)).mean(), "grey all over"


def test_strength_and_what_is_taken_away(animate, black_and_white):
    def colour(frames):
        return (frames.amax(1) - frames.amin(1)).mean()

    name = "black and white photograph"
    half, none, away = (colour(animate(style_of(name, w))) for w in (0.5, 0.0, -1.0))
    assert colour(black_and_white) < half < none < away


def test_crops_are_pasted_back_in_the_look(tiny_model, animate, identity):
    style = style_of("sepia photograph")
    shown = tiny_model.shown_portrait(identity, style)
    pasted = paste_back(animate(style, output="crop"), CropData(shown.portrait, shown.crop))
    assert (pasted - animate(style)).abs().mean() < 0.01
    assert tiny_model.shown_portrait(identity, style, 0.0) is identity


def test_what_is_drawn_is_added_and_stretched_strokes_are_drawn_anew(tiny_model, identity):
    expression = torch.zeros(2, 52)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.6
    motion = MotionTrack.of_expression(expression, 25.0)
    structure = build_structure(identity, motion, tiny_model.basis, tiny_model.config)
    painter = painter_for(
        identity.portrait, identity.crop, style_of("black and white photograph").look, 1.0, tiny_model.device
    )
    nothing, nowhere = torch.zeros_like(structure.warped), torch.zeros_like(structure.mask)
    drawn = structure.warped.flip(-1)
    change, mask, _ = painter.difference(structure, nothing, drawn, nowhere)
    assert change.abs().max() == 0 and (mask >= structure.mask).all()
    _, _, painted = painter.difference(structure, nothing, drawn, torch.ones_like(nowhere))
    assert (painted.amax(1) - painted.amin(1)).mean() < 0.05
    assert (painted.mean(1) - drawn.mean(1)).abs().mean() < 0.1  # what is drawn, not what is warped
    brighter, _, _ = painter.difference(structure, nothing + 0.2, drawn, nowhere)
    assert (brighter * structure.mask).sum() > 0 and (brighter * (1 - mask)).abs().sum() < 0.1 * brighter.abs().sum()


def test_parts_of_a_mixture():
    ((added, strength), (taken, away)) = parts_of(torch.tensor([0.5, 0.25, -1.0]))
    assert added.tolist() == [1.0, 0.5, 0.0] and strength == 0.5 and taken.tolist() == [0, 0, 1] and away == -1


@pytest.mark.parametrize("name", ["black and white photograph", "pencil sketch", "charcoal drawing", "ink drawing"])
def test_teeth_have_no_colour_in_looks_of_one_tone(identity, name):
    painter = painter_for(identity.portrait, identity.crop, style_of(name).look, 1.0, torch.device("cpu"))
    crop = identity.references[:1]
    green = crop.clone()
    green[:, :, 36:44, 24:40] = torch.tensor([0.6, 0.9, 0.7])[:, None, None]
    paper = painter.net.paper_of(painter.size, painter.size).to(crop)[None]
    teeth = painter._painted(green, [painter.size, painter.size], paper)[:, :, 38:42, 26:38]
    for picture in (painter.portrait, teeth):
        assert (picture.amax(-3) - picture.amin(-3)).mean() < 0.02
    mixed = painter_for(
        identity.portrait, identity.crop, style_of(name).look + style_of("oil painting").look, 1.0, torch.device("cpu")
    )
    assert mixed._tone is None


def test_a_look_that_is_taken_away_has_no_tone(identity):
    away = style_of("black and white photograph", -1).look
    stronger = painter_for(identity.portrait, identity.crop, away, 1.0, torch.device("cpu")).portrait
    assert (stronger.amax(0) - stronger.amin(0)).mean() > (identity.portrait.amax(0) - identity.portrait.amin(0)).mean()
