import json

import pytest
import torch
from tiny_sd15 import random_model, tiny

from portraittalk.errors import MediaError
from portraittalk.face.mesh import MeshProvider
from portraittalk.media.audio import audio_from_waveform
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video
from portraittalk.metrics.evaluate import Subject, _widest, evaluate, replayed
from portraittalk.metrics.figures import as_json, table
from portraittalk.metrics.metric_nets import MetricNets
from portraittalk.models.face_basis import load_basis
from portraittalk.pipelines.load import build_pipeline
from portraittalk.types import SamplingSettings
from portraittalk.weights.layouts import LAYOUTS

SETTINGS = SamplingSettings(steps=1, window=4, overlap=2)


def test_a_clip_is_played_again_and_measured(tiny_model, clip, tmp_path):
    result = evaluate(tiny_model, replayed(clip), tmp_path / "out.mp4", MeshProvider(), settings=SETTINGS)
    figures = result.figures
    assert figures.subject == "clip" and figures.speed > 0
    assert figures.outside_psnr is None  # the face fills the clip
    assert figures.mouth_warp is not None and figures.mouth is not None
    assert figures.mouth_warp < figures.mouth  # random weights can only do harm
    assert figures.mouth_sharpness is not None and figures.mouth_sharpness > 0
    assert figures.seam is not None and figures.seam > 0
    assert figures.identity is None  # no recognition network was given
    assert figures.lpips is None and figures.lse_c is None  # and no metric weights
    assert result.features is not None and len(result.features[0].frames) == 0
    assert figures.adfd is None  # less than a second
    assert figures.ssim_warp is not None and figures.ssim is not None and 0 < figures.ssim < figures.ssim_warp <= 1
    assert figures.lip_distance is not None and 0 <= figures.lip_distance < 0.2
    assert figures.flicker is not None and figures.drift_real is not None
    assert {name: len(curve) for name, curve in result.curves.items()} == dict.fromkeys(("asked", "found", "real"), 6)
    assert (tmp_path / "out.mp4").exists()
    assert json.loads(as_json([figures]))[0]["subject"] == "clip"
    names, row = table([figures]).splitlines()
    assert len(names.split("\t")) == len(row.split("\t"))


def test_liveliness_moves_the_head_that_is_measured(tiny_model, clip, tmp_path):
    still, lively = (
        evaluate(
            tiny_model,
            replayed(clip),
            tmp_path / f"{level:g}.mp4",
            MeshProvider(),
            settings=SETTINGS,
            liveliness=level,
        ).figures.head_motion
        for level in (0.0, 8.0)
    )
    assert still is not None and lively is not None
    assert lively > 2 * still


def test_with_metric_weights_lips_and_looks_are_judged_as_published(tiny_model, clip, tmp_path, metric_nets):
    source = read_video(clip)
    frames = torch.stack(list(source)).repeat(5, 1, 1, 1)[:26]
    sound = source.audio().waveform.repeat(1, 5)
    write_video([frames], tmp_path / "long.mp4", 25, audio_from_waveform(sound, source.audio().sample_rate))
    found = MeshProvider()(frames[0])  # to find it in every frame takes longer
    nets = MetricNets(syncnet=metric_nets.syncnet, lpips=metric_nets.lpips)
    subject, out = replayed(tmp_path / "long.mp4"), tmp_path / "out.mp4"
    figures = evaluate(tiny_model, subject, out, lambda image: found, settings=SETTINGS, nets=nets).figures
    assert figures.lpips is not None and figures.lpips_warp is not None and 0 < figures.lpips_warp < figures.lpips
    assert figures.lse_c is not None and figures.lse_d is not None and abs(figures.sync_offset) <= 15
    assert figures.lse_d_real is not None and figures.lse_d_real != figures.lse_d
    assert "lse_c_real" in table([figures])


@pytest.mark.parametrize("kind", ["echomimic", "animatediff"])
def test_models_of_public_weights_are_measured_too(kind, tiny_echomimic, clip, tmp_path):
    pytest.importorskip("transformers")
    if kind == "echomimic":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build_pipeline(tiny_echomimic)
    else:
        model = random_model(tiny(LAYOUTS["animatediff"], shallow=True))
        model.basis.load_state_dict(load_basis().state_dict())
    found = MeshProvider()(next(iter(read_video(clip))))  # random networks draw no face that could be found
    settings = SamplingSettings(steps=1, window=4, overlap=2)
    result = evaluate(model, replayed(clip), tmp_path / "out.mp4", lambda image: found, settings=settings)
    figures = result.figures
    assert figures.flicker is not None and figures.speed > 0 and len(read_video(tmp_path / "out.mp4").size) == 2
    draws_structures = kind == "animatediff"  # EchoMimic makes its motion itself: nothing is asked of the lips
    assert (figures.mouth is not None) == (figures.seam is not None) == draws_structures
    assert ("asked" in result.curves) == draws_structures


def test_a_picture_is_measured_against_a_video_of_another_framing(tiny_model, clip, repository, tmp_path):
    phones = tmp_path / "hum.phones"
    phones.write_text("0.00 0.08 M\n0.08 0.40 AA\n")
    portrait = repository / "portraittalk/assets/demo/portrait.jpg"
    subject = Subject("demo", portrait, clip, clip, phones)
    figures = evaluate(tiny_model, subject, tmp_path / "out.mp4", MeshProvider(), settings=SETTINGS).figures
    assert figures.mouth is None and figures.ssim is None  # whose pixels lie elsewhere
    assert figures.lips_real is not None and figures.closure_real == 1.0  # the clip begins with closed lips
    assert figures.outside_psnr is not None and figures.outside_psnr > 30


def test_of_several_references_the_further_ones_show_the_widest_mouths():
    lips = [0.0, 9.0, 0.1, 0.2, 0.1, 0.3, 0.9, 0.8, 0.1, 0.1, 0.1, 0.1, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    chosen, counts = _widest(torch.tensor(lips), 2)
    assert chosen == [6, 12]  # the first frames are nothing new
    assert counts.nonzero().flatten().tolist() == [0, 1, 17, 18, 19]


def test_a_clip_too_short_for_its_references_is_told(tiny_model, clip, tmp_path):
    with pytest.raises(MediaError, match="too short for 4 references"):
        evaluate(tiny_model, replayed(clip, references=4), tmp_path / "out.mp4", MeshProvider())


def test_a_phone_file_that_is_none_is_told(tiny_model, clip, tmp_path):
    (tmp_path / "bad.phones").write_text("0.00 bin 0.08\n")
    with pytest.raises(MediaError, match=r"bad\.phones"):
        evaluate(tiny_model, replayed(clip, tmp_path / "bad.phones"), tmp_path / "out.mp4", MeshProvider())
    assert not (tmp_path / "out.mp4").exists()
