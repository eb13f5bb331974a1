"""How errors present themselves outside of the library."""

import pickle

import pytest

import portraittalk

ERRORS = [name for name in portraittalk.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_named_shortly_and_comes_back_from_another_process(name):
    """ComfyUI shows the full name of the class; worker processes send errors pickled."""
    kind = getattr(portraittalk, name)
    assert f"{kind.__module__}.{kind.__qualname__}" == f"portraittalk.{name}"
    error = pickle.loads(pickle.dumps(kind("a sentence")))
    assert type(error) is kind and str(error) == "a sentence"


def test_every_error_is_public():
    assert {kind.__name__ for kind in portraittalk.PortraitTalkError.__subclasses__()} < set(ERRORS)
