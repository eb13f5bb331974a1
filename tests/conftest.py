"""Shared by all tests: where the real ComfyUI is, and a switch that makes skipped tests count as failures."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMFYUI_PATH = Path(os.environ.get("COMFYUI_PATH", ROOT / ".cache" / "comfyui" / "ComfyUI")).resolve()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository, which is the pack's folder as well."""
    return ROOT


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    """The source folder of a real ComfyUI (`make comfyui`); skips where there is none."""
    if not (COMFYUI_PATH / "main.py").is_file():
        pytest.skip("no ComfyUI here: run `make comfyui`, or set COMFYUI_PATH")
    return COMFYUI_PATH


@pytest.fixture(scope="session")
def comfyui_in_process(comfyui_path: Path) -> Path:
    """ComfyUI's modules importable in this process (`comfy`, `folder_paths`, `nodes`, ...), on the CPU."""
    # First on the path: the pack's own folder `nodes` must not shadow ComfyUI's module of that name.
    sys.path.insert(0, str(comfyui_path))
    from comfy.cli_args import args

    args.cpu = True
    return comfyui_path


def pytest_terminal_summary(terminalreporter) -> None:
    if os.environ.get("FAIL_ON_SKIP"):
        for report in terminalreporter.stats.get("skipped", []):
            terminalreporter.write_line(f"skipped, which FAIL_ON_SKIP forbids: {report.nodeid}: {report.longrepr[2]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("FAIL_ON_SKIP") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
