"""Published metrics' networks: every published key has its place, and what they compute is what upstream's code does.

GOLDEN numbers below come from upstream's own classes with the weights of ``seeded``: joonson/syncnet_python,
toshas/torch-fidelity, wilson1yan/VideoGPT and richzhang/PerceptualSimilarity. The published weights were not at hand.
"""

import shutil

import pytest
import torch
from safetensors.torch import save_file
from seeded import noise, seeded

from portraittalk.errors import WeightsError
from portraittalk.metrics.i3d import CLIP, i3d_input
from portraittalk.metrics.inception import inception_input
from portraittalk.metrics.lpips import lpips
from portraittalk.metrics.metric_nets import MetricNets, check_folder, load_metric_nets

SYNCNET, LINEAR = "syncnet_v2.model", "alex.pth"


def near(found, golden, norm):
    """The first numbers and the norm of all."""
    assert torch.allclose(found[: len(golden)], torch.tensor(golden), rtol=1e-4, atol=1e-4 * norm / len(found) ** 0.5)
    assert found.norm().item() == pytest.approx(norm, rel=1e-4)


@torch.no_grad()
def test_syncnet_is_upstreams(metric_nets):
    seen = metric_nets.syncnet.embed_faces(255 * noise((5, 3, 224, 224), 2))
    assert seen.shape == (1, 1024)
    near(seen[0], [464.3767, 89.7593, 1060.424, 140.2133], 18708.3203)  # GOLDEN
    heard = metric_nets.syncnet.embed_audio(20 * noise((40, 13), 3) - 10)
    assert heard.shape == (6, 1024)
    near(heard[0], [28.3639, -43.9941, 40.6360, -49.6297], 945.6913)  # GOLDEN


@torch.no_grad()
def test_a_run_of_frames_is_seen_as_its_windows_are(metric_nets):
    frames = 255 * noise((6, 3, 224, 224), 3)
    run = metric_nets.syncnet.embed_faces(frames)
    windows = torch.cat([metric_nets.syncnet.embed_faces(frames[at : at + 5]) for at in range(2)])
    assert torch.allclose(run, windows, rtol=1e-4, atol=1e-2)


@torch.no_grad()
def test_inception_and_its_resize_are_upstreams(metric_nets):
    picture = noise((2, 3, 200, 260), 4)[0]
    near(metric_nets.inception(inception_input(picture)[None])[0], [8.585694, 1.189424, 3.099370, 1.195526], 270.77335)


@torch.no_grad()
def test_i3d_and_its_crop_are_upstreams(metric_nets):
    frames = (255 * noise((CLIP, 3, 120, 100), 6)).round() / 255
    scores = metric_nets.i3d(torch.stack([i3d_input(frame) for frame in frames]))
    near(scores, [1.728848, 4.229424, -4.736962, -10.371420], 147.311798)  # GOLDEN


def test_lpips_is_upstreams_and_grows_with_the_difference(metric_nets):
    first = noise((2, 3, 96, 80), 7)
    second = (first + 0.2 * noise((2, 3, 96, 80), 8)).clamp(0, 1)
    net = metric_nets.lpips
    with torch.no_grad():
        assert torch.allclose(net(first, second), torch.tensor([0.271645, 0.261994]), rtol=1e-4)  # GOLDEN
    assert lpips(net, first, first) == 0
    assert 0 < lpips(net, first, second) < lpips(net, first, first.flip(3))


def test_files_are_read_as_published_and_as_safetensors_and_older_ones_lack_counters(
    metric_weights, metric_nets, published_shapes, tmp_path
):
    state = torch.load(metric_weights / SYNCNET, weights_only=True)
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(state) < len(published_shapes[SYNCNET])
    save_file(state, tmp_path / "syncnet_v2.safetensors")
    check_folder(tmp_path)
    nets = load_metric_nets([tmp_path / "none", tmp_path])
    assert nets.lpips is None and nets.inception is None and nets.i3d is None
    assert nets.syncnet is not None
    for key, value in metric_nets.syncnet.state_dict().items():
        assert torch.equal(value, nets.syncnet.state_dict()[key])


def test_what_is_not_there_is_none_and_a_folder_without_any_is_told(metric_weights, tmp_path):
    assert load_metric_nets([tmp_path]) == MetricNets()
    assert load_metric_nets([metric_weights], names=()) == MetricNets()
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(WeightsError, match=r"has no metric weights: .*syncnet_v2\.model"):
            check_folder(folder)


def test_a_file_of_another_layout_is_named_with_its_keys(tmp_path, published_shapes):
    state = seeded(published_shapes[LINEAR])
    torch.save(state, tmp_path / SYNCNET)
    with pytest.raises(WeightsError, match=r"syncnet_v2\.model misses keys: netcnnaud.*unexpected keys: lin0.*SyncNet"):
        load_metric_nets([tmp_path])


def test_a_wrong_shape_is_told(metric_weights, tmp_path):
    state = torch.load(metric_weights / SYNCNET, weights_only=True)
    torch.save(state | {"netfclip.3.bias": torch.zeros(512)}, tmp_path / SYNCNET)
    with pytest.raises(WeightsError, match=r"netfclip\.3\.bias \(512,\) instead of \(1024,\)"):
        load_metric_nets([tmp_path])


def test_a_broken_file_and_a_pickled_program_are_refused(tmp_path):
    (tmp_path / SYNCNET).write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"syncnet_v2\.model is damaged"):
        load_metric_nets([tmp_path])
    torch.save(torch.nn.Linear(1, 1), tmp_path / SYNCNET)
    with pytest.raises(WeightsError, match=r"syncnet_v2\.model is damaged or contains more than tensors"):
        load_metric_nets([tmp_path])


def test_one_of_two_files_is_not_enough(metric_weights, tmp_path):
    shutil.copy(metric_weights / LINEAR, tmp_path)
    with pytest.raises(WeightsError, match=r"LPIPS needs alexnet-owt-7be5be79\.pth beside alex\.pth"):
        load_metric_nets([tmp_path])
