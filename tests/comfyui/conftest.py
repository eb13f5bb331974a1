"""One real ComfyUI server for all tests of this folder, with the pack in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_harness.server import ComfyServer
from comfyui_harness.workflow import Prompt, load_prompt


@pytest.fixture(scope="session")
def server(comfyui_path: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    server = ComfyServer(comfyui_path, repository, tmp_path_factory.mktemp("comfyui"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def basic(server: ComfyServer, repository: Path) -> Prompt:
    """The basic example workflow in API format."""
    return load_prompt(repository / "example_workflows" / "basic.json", server.object_info)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.comfyui)
