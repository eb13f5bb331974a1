"""From a picture, a prompt and a sound to frames with Stable Diffusion 1.5: the real classes, tiny and random."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_sd15 import random_model, tiny, write_vocabulary

from portraittalk.compositing.compose import crop_data
from portraittalk.errors import SettingsError, WeightsError
from portraittalk.media.audio import Audio
from portraittalk.models.autoencoder import FastDecoder
from portraittalk.motion.speech_to_motion import speech_to_motion
from portraittalk.pipelines.load import load_model
from portraittalk.sampling.settings import usual_settings
from portraittalk.sampling.windows import plan_windows
from portraittalk.types import SamplingSettings, Scales
from portraittalk.weights.layouts import LAYOUTS

pytest.importorskip("transformers")

FPS, FRAMES = 25.0, 7
SETTINGS = SamplingSettings(steps=2, guidance_scale=2.0, window=4, overlap=1, strength=1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    layout = tiny(LAYOUTS["animatediff"], shallow=True)
    model = random_model(layout)
    model.basis.load_state_dict(load_model().basis.state_dict())
    folder = tmp_path_factory.mktemp("models") / "clip-tokenizer"
    write_vocabulary(folder)
    return replace(model, vocabulary=folder)


@pytest.fixture(scope="module")
def identity(model, small_portrait, small_face):
    return model.encode_identity([small_portrait], faces=[[small_face]])


@pytest.fixture(scope="module")
def speech(model):
    time = torch.arange(int(16000 * FRAMES / FPS)) / 16000
    return model.encode_speech(Audio(torch.sin(900 * time)[None], 16000), FPS)


@pytest.fixture(scope="module")
def animate(model, identity, speech):
    motion = speech_to_motion(model.motion_net, speech, 0)
    plain = model.encode_style()

    def run(settings=SETTINGS, model=model, style=plain, **changes):
        arguments = {"identity": identity, "speech": speech, "motion": motion, "output": "crop"} | changes
        return torch.cat(list(model.animate(style=style, settings=settings, **arguments)))

    return run


@pytest.fixture(scope="module")
def usual(animate):
    """The frames without any changes."""
    return animate()


def test_there_is_one_frame_for_each_of_the_speech_and_only_the_crop_differs(animate, identity, small_portrait):
    frames = animate(output="full")
    assert frames.shape == (FRAMES, *small_portrait.shape) and frames.isfinite().all()
    assert frames.min() >= 0 and frames.max() <= 1
    changed = (frames != small_portrait).any(0).any(0).nonzero()
    x0, y0, x1, y1 = crop_data(identity).box
    assert changed[:, 0].min() >= y0 and changed[:, 0].max() < y1
    assert changed[:, 1].min() >= x0 and changed[:, 1].max() < x1


@pytest.mark.parametrize("sampler", ["ddim", "lcm"])
def test_the_same_seed_gives_the_same_frames_and_another_does_not(animate, model, sampler):
    config = replace(model.config, animate_net=replace(model.config.animate_net, sampler=sampler))
    model.animate_net.config = config.animate_net
    chosen = replace(model, config=config)
    first = animate(model=chosen)
    assert first.shape == (FRAMES, 3, 64, 64)
    assert torch.equal(first, animate(model=chosen))
    assert not torch.allclose(first, animate(replace(SETTINGS, seed=1), model=chosen), atol=1e-3)
    model.animate_net.config = model.config.animate_net


def test_windows_hand_on_frames_before_the_speech_is_over(model, identity, speech):
    motion, style = speech_to_motion(model.motion_net, speech, 0), model.encode_style()
    fast = replace(model, config=replace(model.config, fast_decoder=True), fast_decoder=FastDecoder().eval())
    settings, seen = replace(SETTINGS, guidance_scale=1.0, fast_decode=True), []
    frames = fast.animate(identity, speech, style, motion, settings, "crop", seen.append)
    next(frames)
    assert len(plan_windows(FRAMES, 4, 1)) == 2
    assert 0 < len(seen) < seen[0].total * 0.6
    assert 1 + sum(len(chunk) for chunk in frames) >= 1 and seen[-1].done == seen[-1].total
    assert seen[2].preview.shape == (3, 64, 64)


def test_raising_in_progress_ends_the_run(animate):
    class Cancelled(BaseException):
        pass

    def stop(progress):
        if progress.done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        animate(progress=stop)


@pytest.mark.parametrize(
    "change", [{"identity": 0.0}, {"text": 0.0}, {"structure": 0.0}], ids=["identity", "text", "control"]
)
def test_each_scale_reaches_the_frames(animate, usual, change):
    assert not torch.allclose(usual, animate(replace(SETTINGS, scales=Scales(**change))), atol=1e-3)


def test_the_prompt_acts_inside_of_the_denoiser_and_on_the_face(animate, usual, model):
    style, without = model.encode_style("old woman"), model.encode_style()
    assert style.tokens.shape == (77, 32) and not torch.equal(style.tokens, without.tokens)
    assert torch.equal(style.negative_tokens, without.tokens)
    assert not torch.allclose(animate(style=replace(style, expression=None)), usual, atol=1e-3)
    assert model.encode_style("smiling").expression.abs().max() > 0.1


def test_without_strength_frames_are_the_warped_reference_decoded(animate, model):
    frames = animate(replace(SETTINGS, strength=0.0))
    other = animate(replace(SETTINGS, strength=0.0, seed=1, guidance_scale=1.0))
    assert torch.equal(frames, other)
    little, much = (animate(replace(SETTINGS, steps=4, strength=strength)) for strength in (0.25, 1.0))
    assert (little - frames).abs().mean() < (much - frames).abs().mean()


def test_several_references_give_the_tokens_of_each(model, small_portrait, small_face):
    faces = [[small_face], [small_face]]
    both = model.encode_identity([small_portrait, small_portrait], faces=faces)
    assert both.tokens.shape == (2 * model.config.clip.tokens, 32)
    torch.testing.assert_close(both.tokens[:4], both.tokens[4:])


@pytest.mark.parametrize("whole", [False, True])
def test_an_edit_changes_the_face_or_all_of_the_portrait(model, identity, small_portrait, whole):
    style = model.encode_style("old")

    def edit(strength, **changes):
        settings = replace(SETTINGS, steps=4, strength=strength, **changes)
        return model.edit_portrait(identity, style, settings, whole)

    assert torch.equal(edit(0.0), small_portrait)
    little, much = edit(0.3), edit(1.0)
    assert little.shape == much.shape == small_portrait.shape
    assert not torch.allclose(little, much, atol=1e-3)
    assert torch.equal(much, edit(1.0)) and not torch.equal(much, edit(1.0, seed=1))
    x0, y0, x1, y1 = crop_data(identity).box
    outside = torch.ones_like(small_portrait, dtype=torch.bool)
    outside[:, y0:y1, x0:x1] = False
    assert torch.equal(much[outside], small_portrait[outside]) != whole


def test_an_edit_with_motion_modules_is_that_of_the_image_model(model, identity):
    layout = tiny(LAYOUTS["identity"], shallow=True)
    still = random_model(layout)
    moving = model.animate_net.state_dict()
    still.animate_net.load_state_dict({key: moving[key] for key in still.animate_net.state_dict()})
    changes = {name: getattr(model, name) for name in ("autoencoder", "identity_net", "text_encoder")}
    alone = replace(still, **changes)
    net = replace(model.config.animate_net, curve="scaled_linear")
    model.animate_net.config = net
    style = model.encode_style()
    pictures = [
        one.edit_portrait(identity, style, SETTINGS)
        for one in (replace(model, config=replace(model.config, animate_net=net)), alone)
    ]
    model.animate_net.config = model.config.animate_net
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=0)


def test_half_precision_gives_about_the_same_frames(animate, usual, model, identity):
    from copy import deepcopy

    halves = {n: deepcopy(m).bfloat16() for n, m in model.modules().items() if n not in ("motion_net", "basis")}
    frames = animate(model=replace(model, **halves))
    assert frames.dtype == torch.float32
    assert (frames - usual).abs().mean() < 0.05


def test_what_cannot_work_is_said_in_a_sentence(model, identity, speech, tmp_path):
    lost = replace(model, vocabulary=tmp_path / "clip-tokenizer")
    assert lost.encode_style().tokens.shape == (77, 32)
    with pytest.raises(WeightsError, match=r"vocab\.json and merges\.txt .*clip-tokenizer"):
        lost.encode_style("old")
    still = random_model(tiny(LAYOUTS["identity"], shallow=True))
    with pytest.raises(SettingsError, match="edits pictures"):
        still.face_motion()
    few = replace(model.config, animate_net=replace(model.config.animate_net, sampler="lcm"))
    for config, settings in ((few, {"steps": 51}), (model.config, {"strength": 1.5}), (model.config, {"window": 33})):
        with pytest.raises(SettingsError):
            replace(model, config=config).edit_portrait(identity, model.encode_style(), replace(SETTINGS, **settings))


def test_usual_settings_are_the_configurations():
    settings = usual_settings(LAYOUTS["animatediff"].config)
    assert (settings.window, settings.overlap, settings.steps, settings.strength) == (16, 4, 25, 0.6)


def test_the_vocabulary_cuts_what_is_too_long(model, caplog):
    from portraittalk.text.clip_tokens import word_pieces

    config = model.config.clip
    pieces, weights = word_pieces("an old woman", config, Path(model.vocabulary))
    assert pieces[0] == 298 and (pieces[5:] == 299).all() and len(pieces) == 77 and (weights == 1).all()
    long, _ = word_pieces("old " * 100, config, Path(model.vocabulary))
    assert len(long) == 77 and long[-1] == 299 and long[-2] != 299
    assert "25" in caplog.text


def test_a_weight_moves_its_tokens_away_from_the_empty_prompt(model):
    from portraittalk.text.clip_tokens import word_pieces

    plain, weighted, empty = (model.encode_style(text).tokens for text in ("an old woman", "an (old:1.5) woman", ""))
    pieces, weights = word_pieces("an (old:1.5) woman", model.config.clip, Path(model.vocabulary))
    assert torch.equal(pieces, word_pieces("an old woman", model.config.clip, Path(model.vocabulary))[0])
    old = weights == 1.5
    assert 1 <= old.sum() <= 3 and (weights[~old] == 1).all()
    assert torch.allclose(weighted[old], empty[old] + 1.5 * (plain - empty)[old], atol=1e-5)
    assert torch.allclose(weighted[~old], plain[~old], atol=1e-5)
    with pytest.raises(SettingsError, match="is not a number"):
        model.encode_style("an (old:1.5x) woman")
