"""The pack, loaded into this process the way ComfyUI loads it: by its path, inside a real ComfyUI."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from seen_once import see_pictures_once


@pytest.fixture(scope="session")
def pack(comfyui_in_process: Path, repository: Path) -> ModuleType:
    """The pack as a module. ComfyUI names it by its path, so absolute imports of it cannot work."""
    name = str(repository).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, repository / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def nodes(pack: ModuleType) -> dict[str, Any]:
    """Node id -> class, for every node of the pack."""

    async def load() -> list[Any]:
        extension = await pack.comfy_entrypoint()
        await extension.on_load()
        return await extension.get_node_list()

    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(load())}


@pytest.fixture
def run(nodes, folders):
    """run(node_id, **inputs): executes a node as ComfyUI does, on a clone of its class and in inference mode."""

    def execute(node_id: str, **inputs: Any) -> Any:
        with torch.inference_mode():
            return nodes[node_id].PREPARE_CLASS_CLONE(None).execute(**inputs)

    return execute


@pytest.fixture
def folders(comfyui_in_process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Empty input, output, temp and user folders of ComfyUI, and folders of models of ours and of IP-Adapters."""
    import folder_paths

    made = {name: tmp_path / name for name in ("input", "output", "temp", "user", "models", "ipadapter")}
    for name, folder in made.items():
        folder.mkdir()
        if name not in ("models", "ipadapter"):
            monkeypatch.setattr(folder_paths, f"{name}_directory", str(folder))
    public = made["models"] / "public"
    published = {".safetensors", ".pth", ".ckpt", ".pt", ".bin"}
    for key, folder, suffixes in (
        ("portraittalk", made["models"], {".safetensors"}),
        ("portraittalk_public", public, published),
        ("ipadapter", made["ipadapter"], {".safetensors"}),
    ):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, key, ([str(folder)], suffixes))
        folder_paths.filename_list_cache.pop(key, None)
    return made


@pytest.fixture(scope="session")
def library(pack: ModuleType, nodes):
    """library("motion.track"): a module of the library as the pack imports it, whose classes are those of its nodes."""
    return lambda name: importlib.import_module(f"{pack.__name__}.portraittalk.{name}")


@pytest.fixture(scope="module", autouse=True)
def _pictures_seen_once(library, pack: ModuleType) -> Iterator[None]:
    """Most tests here look at the same few pictures."""
    with pytest.MonkeyPatch.context() as patch:
        see_pictures_once(patch, f"{pack.__name__}.portraittalk")
        yield


@pytest.fixture(scope="session")
def host(pack: ModuleType, nodes) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.host")


@pytest.fixture(scope="session")
def untrained(library, tmp_path_factory) -> Path:
    """A weights file of the shipped size with random weights: the nodes do not mind."""
    config = library("config").MINI
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = library("weights.networks").build_networks(config)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    parts = {name: module.state_dict() for name, module in networks.items()}
    parts["basis"] = library("models.face_basis").load_basis().state_dict()
    library("weights.load").save_weights(path, config, parts)
    return path


@pytest.fixture(scope="session")
def model(host, untrained: Path) -> Any:
    """That model, as its node loads it. No test changes it."""
    return host.models.load(untrained)


def demo_portrait(library, repository: Path, side: int) -> torch.Tensor:
    file = repository / "portraittalk" / "assets" / "demo" / "portrait.jpg"
    return library("media.image").read_image(file, max_side=side).pixels.permute(1, 2, 0)[None]


@pytest.fixture(scope="session")
def half_portrait(library, repository: Path) -> torch.Tensor:
    """The demo portrait as an IMAGE, of half its size: its face is large enough for all that is done with it."""
    return demo_portrait(library, repository, 384)


@pytest.fixture(scope="session")
def portrait(library, repository: Path) -> torch.Tensor:
    """The demo portrait as an IMAGE, of a third of its size."""
    return demo_portrait(library, repository, 256)


@pytest.fixture(scope="session")
def face_landmarks(library, portrait: torch.Tensor) -> dict[str, Any]:
    """Core's FACE_LANDMARKS for it: an average face where the portrait has its own."""
    height, width = portrait.shape[1:3]
    face = library("face.manual").face_in_box((0.25 * width, 0.2 * height, 0.75 * width, 0.8 * height))
    found = {
        "landmarks_xy": face.landmarks[:, :2].numpy(),
        "landmarks_3d": face.landmarks.numpy() / 4,
        "blendshapes": {"_neutral": 0.9, "jawOpen": 0.1},
        "score": 0.99,
    }
    return {"frames": [[found]], "image_size": (height, width), "connection_sets": {}}


@pytest.fixture(scope="session")
def encode_portrait(nodes, portrait, face_landmarks, tmp_path_factory):
    """encode_portrait(model) -> the identity of ``portrait``; the preview goes into a folder of its own."""
    import folder_paths

    node = nodes["PortraitTalkIdentityEncode"].PREPARE_CLASS_CLONE(None)
    face = {"face": "face landmarks", "landmarks": face_landmarks, "index": 0}

    def encode(model):
        with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
            patch.setattr(folder_paths, "temp_directory", str(tmp_path_factory.mktemp("temp")))
            return node.execute(model=model, references={"reference0": portrait}, face=face, max_side=0)[0]

    return encode


@pytest.fixture(scope="session")
def identity(encode_portrait, model) -> Any:
    """The person of ``portrait``, whose background is then filled in once for all tests."""
    return encode_portrait(model)


@pytest.fixture
def encode_half(run, half_portrait: torch.Tensor):
    """encode_half(model) -> the identity of ``half_portrait``, whose whole pictures are larger than its crops."""
    face = {"face": "box", "x": 96, "y": 77, "width": 192, "height": 230}

    def encode(model):
        references = {"reference0": half_portrait}
        return run("PortraitTalkIdentityEncode", model=model, references=references, face=face, max_side=0)[0]

    return encode


@pytest.fixture(scope="session")
def speech() -> dict[str, Any]:
    """0.32 s of a voice-like sound in stereo, as AUDIO: 8 frames at 25 fps."""
    time = torch.arange(14112) / 44100
    wave = 0.2 * torch.sin(2 * torch.pi * 140 * time) * (1 + torch.sin(2 * torch.pi * 5 * time))
    return {"waveform": torch.stack((wave, 0.5 * wave))[None], "sample_rate": 44100}


@pytest.fixture
def cancel_after(host, monkeypatch):
    """cancel_after(n): presses Cancel when a node shows that it has done more than n steps."""
    import comfy.model_management as management

    show = host.progress.HostProgress.__call__

    def arm(steps: int) -> None:
        def press(self: Any, progress: Any) -> None:
            if progress.done > steps:
                management.interrupt_current_processing()
            show(self, progress)

        monkeypatch.setattr(host.progress.HostProgress, "__call__", press)

    return arm


@pytest.fixture
def shown_text(comfyui_in_process, monkeypatch):
    """What the front end shows on a node with the id 5: every text that was sent."""
    from server import PromptServer

    texts: list[str] = []

    class Server:
        def send_progress_text(self, text: str, node_id: str) -> None:
            assert node_id == "5"
            texts.append(text)

    monkeypatch.setattr(PromptServer, "instance", Server(), raising=False)
    return texts
