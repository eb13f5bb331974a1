"""The memory that a run needs, known before it: against what the same run really holds, and at full size."""

from dataclasses import replace

import pytest
import torch
from liveportrait_networks import small_config
from random_pipeline import random_pipeline
from tiny_public import shallow
from tiny_sd15 import random_model, tiny
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from portraittalk.cli import machine
from portraittalk.errors import SettingsError
from portraittalk.media.audio import Audio
from portraittalk.memory.free import free_memory
from portraittalk.memory.ledger import Ledger
from portraittalk.memory.offload import STAGES, Offload
from portraittalk.models.animate_net import Conditions
from portraittalk.models.face_basis import load_basis
from portraittalk.models.reference_net import reference_features
from portraittalk.motion.speech_to_motion import speech_to_motion
from portraittalk.motion.track import MotionTrack
from portraittalk.pipelines.load import build_pipeline, load_model, pipeline_class
from portraittalk.pipelines.reference import clip_noise, sample_clip
from portraittalk.types import SamplingSettings, Speech
from portraittalk.weights.layouts import ECHOMIMIC_ACC, LAYOUTS
from portraittalk.weights.sd15 import ANIMATEDIFF_CONFIG

pytest.importorskip("transformers")

SETTINGS = SamplingSettings(steps=1, window=6, overlap=1)


def estimate(config, *arguments, **options):
    return pipeline_class(config).memory(config, *arguments, **options)


@pytest.fixture(scope="module")
def model(tiny_echomimic):
    return random_pipeline(shallow(replace(tiny_echomimic, fast_decoder=True)))


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_ledger_counts_each_tensor_while_it_is_there(device):
    layer = nn.Linear(10, 10, device=device)
    with torch.no_grad(), Ledger(layer, device=device) as ledger:
        first = torch.empty(100, 10, device=device)
        assert ledger.held == 4000
        second = layer(first)
        seen = second.view(10, 100).t()
        assert (ledger.held, ledger.turn()) == (8000, 8000)
        del second
        assert ledger.held == 8000  # a view of it is there still
        del first, seen
        assert ledger.held == 0
        scaled_dot_product_attention(*torch.empty(3, 1, 2, 300, 8, device=device))
        assert ledger.turn() < 2 * 300 * 300 * 4  # no matrix of scores
        assert ledger.held == 0


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_stages_hold_what_a_real_run_holds(model, scale):
    config, frames, settings = model.config, 9, replace(SETTINGS, guidance_scale=scale)
    need = estimate(config, frames, settings, torch.float32, "cpu")
    with torch.no_grad(), Ledger(*model.modules().values(), device="cpu") as ledger:
        latents = model.autoencoder.encode(torch.rand(1, 3, 128, 128))
        reference = reference_features(model.reference_net, latents)
        held = {"reference": ledger.turn()}
        model.speech_encoder(torch.randn(1, 80, 3000))
        held["speech"] = ledger.turn()
        given = Conditions(map=torch.rand(1, 1, 1, 128, 128), speech=torch.randn(1, frames, 50, 384))
        given = replace(given, reference=reference)
        noise = clip_noise(0, frames, (4, 16, 16), 1.5)
        clean = sample_clip(model.animate_net, given, noise, settings)
        held["denoise"] = ledger.turn()
        model.autoencoder.decode(clean[0].transpose(0, 1)[: settings.chunk]).float().clamp(0, 1)
        held["decode"] = ledger.turn()
    for stage, size in held.items():
        assert need.stages[stage] - need.weights - need.outside == pytest.approx(size, rel=0.2), stage


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_so_do_those_of_a_model_that_draws_by_a_prompt(small_portrait, small_face, scale):
    layout = tiny(LAYOUTS["animatediff"], shallow=True)
    wide = replace(layout.config, crop_size=192, structure=replace(layout.config.structure, map_size=192))
    model = random_model(replace(layout, config=wide))
    model.basis.load_state_dict(load_model().basis.state_dict())
    settings = replace(SETTINGS, guidance_scale=scale, window=8)
    need = estimate(wide, 9, settings, torch.float32, "cpu")
    identity = model.encode_identity([small_portrait], faces=[[small_face]])
    speech = model.encode_speech(Audio(torch.zeros(1, 9 * 640), 16000), 25.0)
    style, motion = model.encode_style(), speech_to_motion(model.motion_net, speech, 0)
    with torch.no_grad(), Ledger(*model.modules().values(), device="cpu") as ledger:
        for _ in model.animate(identity, speech, style, motion, settings, "crop"):
            pass
    held = need.peak - need.weights - need.outside
    assert held == pytest.approx(ledger.turn(), rel=0.2)
    assert held == max(need.stages["denoise"], need.stages["decode"]) - need.weights - need.outside


def test_and_those_of_a_model_that_draws_from_keypoints(half_portrait, half_face):
    config = replace(small_config(), crop_size=256)
    config = replace(config, liveportrait=replace(config.liveportrait, input_size=128))
    model = build_pipeline(config)
    model.basis.load_state_dict(load_basis().state_dict())
    settings = SamplingSettings(chunk=2)
    need = estimate(config, 2, settings, torch.float32, "cpu", tuple(half_portrait.shape[-2:]))
    for module in model.modules().values():
        module.eval().requires_grad_(False)
    identity = model.encode_identity([half_portrait], faces=[[half_face]])
    speech, motion = Speech(torch.zeros(2, 20, 80), 25.0, 0.08), MotionTrack.of_expression(torch.zeros(2, 52), 25.0)
    with Ledger(*model.modules().values(), device="cpu") as ledger:
        for _ in model.animate(identity, speech, None, motion, settings):
            pass
    assert need.peak - need.weights - need.outside == pytest.approx(ledger.turn(), rel=0.2)
    assert need.peak == max(need.stages["denoise"], need.stages["decode"])


def test_a_frame_from_keypoints_fits_into_2_gb():
    need = estimate(LAYOUTS["liveportrait"].config, 250, SamplingSettings(chunk=1), picture=(1024, 1024))
    assert 0.28e9 < need.weights < 0.34e9  # in half precision, but for the motion extractor
    assert need.peak - need.outside < 0.8e9


def test_512_pixels_fit_into_8_gb_and_the_options_make_it_less():
    usual = estimate(ECHOMIMIC_ACC, 250, SamplingSettings(overlap=3), picture=(1024, 1024))
    assert 4.3e9 < usual.weights < 4.6e9
    assert usual.peak < 8e9
    least = SamplingSettings(overlap=3, chunk=1)
    assert estimate(ECHOMIMIC_ACC, 250, least, picture=(1024, 1024), offload=True).peak < 5e9
    assert "GB at most" in str(usual)
    drawn = estimate(ANIMATEDIFF_CONFIG, 250, replace(SamplingSettings(window=16), guidance_scale=6.0))
    assert 5.0e9 < drawn.weights < drawn.peak < 12e9
    assert drawn.peak - drawn.weights < 3e9


def test_windows_pictures_and_precision_count(model):
    def stages(dtype=torch.float16, offload=False, picture=(0, 0), references=1, **settings):
        chosen = replace(SETTINGS, **settings)
        return estimate(model.config, 20, chosen, dtype, "cpu", picture, references, offload).stages

    usual, other = stages(), stages(window=12, chunk=1)
    assert other["denoise"] > usual["denoise"] and other["decode"] < usual["decode"]
    larger = stages(torch.float32, picture=(2000, 2000), references=3)
    assert all(larger[stage] > size for stage, size in usual.items())
    less = stages(offload=True, fast_decode=True)
    assert all(less[stage] < usual[stage] for stage in ("reference", "speech", "denoise"))
    assert less["decode"] != usual["decode"]


def test_the_command_line_warns_and_refuses(monkeypatch, capsys):
    device = torch.device("cpu")
    for free, warned in ((10**11, False), (1_700_000_000, True), (None, False)):
        monkeypatch.setattr(machine, "free_memory", lambda device, free=free: free)
        machine.Machine().check_memory(2e9, device)
        told = capsys.readouterr().err.replace("\n", " ")
        assert ("about 2.0 GB of memory, and only 1.7 GB are free" in told and "--low-memory" in told) == warned
    monkeypatch.setattr(machine, "free_memory", lambda device: 1_500_000_000)
    with pytest.raises(
        SettingsError, match=r"about 2\.0 GB of memory, and 1\.5 GB are free here: close other programs"
    ):
        machine.Machine().check_memory(2e9, device)
    with pytest.raises(SettingsError, match="fp8"):
        machine.Machine(precision="fp8").dtype(device)
    assert machine.Machine().dtype(device) == torch.float32
    assert machine.Machine().dtype(torch.device("cuda")) == torch.float16


def test_free_memory_is_some_or_unknown():
    free = free_memory(torch.device("cpu"))
    assert free is None or 1e8 < free < 1e14


def test_offloaded_networks_are_where_they_work(model):
    place = Offload(model.modules(), "meta")  # as good a place as any, but for the contents
    copies = {name: module.state_dict() for name, module in model.modules().items()}
    place("denoise")
    where = {name: next(module.parameters()).device.type for name, module in model.modules().items()}
    assert {name for name, device in where.items() if device == "meta"} == {*STAGES["denoise"]} & {*where}
    for name, module in model.modules().items():
        module.load_state_dict(copies[name], assign=True)
