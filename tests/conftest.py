"""Shared by all tests: a tiny model, where the real ComfyUI is, and a switch that makes skipped tests fail the run."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:  # the tests inside of ComfyUI import the library by another name
    from torch import Tensor

    from portraittalk.config import PortraitTalkConfig
    from portraittalk.pipelines.crop import CropPipeline
    from portraittalk.pipelines.keypoints import KeypointPipeline
    from portraittalk.pipelines.load import AnyPipeline
    from portraittalk.pipelines.reference import ReferencePipeline
    from portraittalk.pipelines.window import WindowPipeline
    from portraittalk.types import Face, Identity
    from portraittalk.weights.layouts import Layout

gc.set_threshold(50_000, 20, 50)  # see pytest_collection_finish; while these libraries are imported, too
pytest_plugins = ["disk_fixture", "hub_fixture", "portrait_fixtures", "seen_once"]

ROOT = Path(__file__).resolve().parent.parent
COMFYUI_PATH = Path(os.environ.get("COMFYUI_PATH", ROOT / ".cache" / "comfyui" / "ComfyUI")).resolve()


def pytest_collection_finish() -> None:
    """Spend less of the processor on memory: together a fifth of the time of tests that render.

    The garbage collector would walk again and again through what torch and diffusers have imported for good, and the C
    library would return the memory of every frame to the system.
    """
    from portraittalk.memory.reuse import keep_freed_memory

    keep_freed_memory()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_remembered() -> Iterator[None]:
    """What runs of tests cost is not written into the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTRAITTALK_CACHE", "")
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository, which is the pack's folder as well."""
    return ROOT


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    """The source folder of a real ComfyUI (`make comfyui`); skips where there is none."""
    if not (COMFYUI_PATH / "main.py").is_file():
        pytest.skip("no ComfyUI here: run `make comfyui`, or set COMFYUI_PATH")
    if find_spec("comfyui_frontend_package") is None:
        pytest.skip("this Python lacks what ComfyUI needs: run the tests with .venv-comfyui/bin/python")
    return COMFYUI_PATH


@pytest.fixture(scope="session")
def comfyui_in_process(comfyui_path: Path) -> Path:
    """ComfyUI's modules importable in this process (`comfy`, `folder_paths`, `nodes`, ...), on the CPU."""
    # First on the path: the pack's own folder `nodes` must not shadow ComfyUI's module of that name.
    sys.path.insert(0, str(comfyui_path))
    from comfy.cli_args import args

    args.cpu = True
    return comfyui_path


@pytest.fixture(scope="session")
def portrait() -> Tensor:
    """The demo portrait (3, H, W) in 0..1."""
    from portraittalk.media.image import read_image

    return read_image(ROOT / "portraittalk/assets/demo/portrait.jpg").pixels


@pytest.fixture(scope="session")
def portrait_face(portrait: Tensor) -> Face:
    """The face in the demo portrait, as our own landmarker sees it."""
    from portraittalk.face.mesh import MeshProvider

    return MeshProvider()(portrait)[0]


@pytest.fixture(scope="session")
def tiny_model() -> CropPipeline:
    """The real classes at a tiny size, with random weights; the expression basis is the one that ships."""
    return cast("CropPipeline", _tiny(name="tiny"))


@pytest.fixture(scope="session")
def tiny_window_model() -> WindowPipeline:
    """As ``tiny_model``, drawing only a mouth window, as mini does."""
    from portraittalk.config import DifferenceDecoderConfig

    model = _tiny(
        name="tiny-window",
        window_size=32,
        painted_mouth=0.0,
        difference_decoder=DifferenceDecoderConfig(16, 16, 1, 8),
        animate_net={"motion_modules": False, "branches": ("identity", "speech", "structure"), "residual_scale": 2.0},
    )
    return cast("WindowPipeline", model)


@pytest.fixture(scope="session")
def tiny_keypoint_model() -> KeypointPipeline:
    """LivePortrait's pipeline with narrow networks, whose weights are drawn like those of the golden tensors."""
    from liveportrait_networks import random_liveportrait

    return random_liveportrait()


@pytest.fixture(scope="session")
def keypoint_identity(tiny_keypoint_model: KeypointPipeline, small_portrait: Tensor, small_face: Face) -> Identity:
    """The person of ``small_portrait`` for ``tiny_keypoint_model``, which reads 70 pictures to know one."""
    return tiny_keypoint_model.encode_identity([small_portrait], faces=[[small_face]])


def _tiny(animate_net: dict[str, Any] | None = None, **settings: Any) -> AnyPipeline:
    from random_pipeline import random_pipeline

    from portraittalk import config
    from portraittalk.models.face_basis import load_basis

    tiny = config.PortraitTalkConfig(
        crop_size=64,
        autoencoder=config.AutoencoderConfig(latent_channels=4, block_out_channels=(16, 32)),
        identity_net=config.IdentityNetConfig(input_size=32, widths=(16, 24, 32), embedding_dim=8, tokens=4, depth=1),
        motion_net=config.MotionNetConfig(width=16, layers=2),
        structure=config.StructureConfig(flow_size=32),
        animate_net=config.AnimateNetConfig(
            block_out_channels=(16, 32),
            attention_head_dim=2,
            norm_num_groups=8,
            token_dim=32,
            text_dim=24,
            **(animate_net or {}),
        ),
        **settings,
    )
    model = random_pipeline(tiny)
    model.basis.load_state_dict(load_basis().state_dict())
    return model


@pytest.fixture(scope="session")
def tiny_echomimic() -> PortraitTalkConfig:
    """EchoMimic's configuration with narrower networks; the denoiser's widths are those of the golden tensors."""
    from tiny_public import tiny_echomimic

    return tiny_echomimic()


@pytest.fixture(scope="session")
def tiny_aniportrait() -> PortraitTalkConfig:
    """AniPortrait's configuration with narrower networks."""
    from tiny_public import tiny_aniportrait

    return tiny_aniportrait()


@pytest.fixture(scope="session")
def golden_echomimic(tiny_echomimic) -> ReferencePipeline:
    """The networks with the golden tensors' weights, by way of the layout; the others are random."""
    from golden_tensors import golden

    from portraittalk.pipelines.load import build_pipeline
    from portraittalk.weights.layouts import LAYOUTS
    from portraittalk.weights.public import mapped

    weights = {key: value.float() for key, value in golden("echomimic_tiny_weights").items()}
    files: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        network, _, rest = key.partition(".")
        files.setdefault("motion_module" if "motion_modules." in key else network, {})[rest] = value
    layout = LAYOUTS["echomimic"]
    sources = tuple(source for source in layout.sources if set(source.files) <= set(files))
    model = build_pipeline(tiny_echomimic)
    wanted = {"animate_net": model.animate_net, "reference_net": model.reference_net}
    for name, state in mapped(replace(layout, sources=sources), wanted, files).items():
        wanted[name].load_state_dict(state)
    for module in model.modules().values():
        module.eval().requires_grad_(False)
    return model


@pytest.fixture(scope="session")
def checkpoint(tiny_echomimic, tmp_path_factory) -> tuple[Layout, ReferencePipeline, dict[str, Path]]:
    """A tiny layout with random networks, and these networks as public files: some safetensors, most pickled."""
    from tiny_public import random_reference_model, write_public

    from portraittalk.weights.layouts import LAYOUTS

    pytest.importorskip("transformers")
    layout = replace(LAYOUTS["echomimic"], config=tiny_echomimic)
    model = random_reference_model(layout)
    pickled = set(layout.files) - {"vae", "whisper"}  # as these are published
    return layout, model, write_public(layout, model, tmp_path_factory.mktemp("public"), pickled)


@pytest.fixture(scope="session")
def aniportrait_checkpoint(tiny_aniportrait, tmp_path_factory) -> tuple[Layout, dict[str, Path]]:
    """As ``checkpoint``, in AniPortrait's layout."""
    from tiny_public import random_reference_model, write_public

    from portraittalk.weights.layouts import LAYOUTS

    pytest.importorskip("transformers")
    layout = replace(LAYOUTS["aniportrait"], config=replace(tiny_aniportrait, steps=1))
    folder, pickled = tmp_path_factory.mktemp("aniportrait"), set(layout.files) - {"vae"}
    return layout, write_public(layout, random_reference_model(layout), folder, pickled)


def pytest_terminal_summary(terminalreporter) -> None:
    if os.environ.get("FAIL_ON_SKIP"):
        for report in terminalreporter.stats.get("skipped", []):
            terminalreporter.write_line(f"skipped, which FAIL_ON_SKIP forbids: {report.nodeid}: {report.longrepr[2]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("FAIL_ON_SKIP") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
