"""The pack, loaded into this process the way ComfyUI loads it: by its path, inside a real ComfyUI."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch


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
    """Empty input, output and temp folders of ComfyUI, and a folder of models of ours."""
    import folder_paths

    made = {name: tmp_path / name for name in ("input", "output", "temp", "models")}
    for name, folder in made.items():
        folder.mkdir()
        if name != "models":
            monkeypatch.setattr(folder_paths, f"{name}_directory", str(folder))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "portraittalk", ([str(made["models"])], {".safetensors"}))
    folder_paths.filename_list_cache.pop("portraittalk", None)
    return made


@pytest.fixture(scope="session")
def library(pack: ModuleType, nodes):
    """library("motion.track"): a module of the library as the pack imports it, whose classes are those of its nodes."""
    return lambda name: importlib.import_module(f"{pack.__name__}.portraittalk.{name}")


@pytest.fixture(scope="session")
def host(pack: ModuleType, nodes) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.host")
