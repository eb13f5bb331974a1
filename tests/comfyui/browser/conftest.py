"""One chromium for all tests of this folder, and pages of the front end in it."""

from collections.abc import Iterator

import pytest
from comfyui_harness.front_end import CHROMIUM, QUIET, RENDERERS, draw_as_html, opened
from comfyui_harness.server import ComfyServer


@pytest.fixture(scope="package")
def browser() -> Iterator:
    if CHROMIUM is None:
        pytest.skip("no chromium here (on Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def gallery(browser, server: ComfyServer) -> Iterator:
    """A page on which all workflows are opened, one after the other: the front end needs seconds to load."""
    page = opened(browser, server)
    yield page
    page.close()


@pytest.fixture(scope="package")
def shared_page(browser, server: ComfyServer) -> Iterator:
    page = opened(browser, server)
    yield page
    page.close()


@pytest.fixture
def page(shared_page):
    """A page for all tests that begin with a workflow of their own, which lacks nothing: what is missing opens a dialog
    over the canvas."""
    shared_page.problems.clear()
    shared_page.mouse.move(0, 0)
    return shared_page


@pytest.fixture
def fresh_page(browser, server: ComfyServer) -> Iterator:
    """A page of its own, for what former runs would be mistaken for, or what changes more than the workflow."""
    page = opened(browser, server)
    yield page
    page.close()


@pytest.fixture(params=RENDERERS["argvalues"], ids=RENDERERS["ids"])
def renderer(request: pytest.FixtureRequest, page) -> bool:
    """Whether the nodes of ``page`` are HTML."""
    return draw_as_html(page, request.param)
