"""What many tests would work out anew from the same picture: its faces, a person's matte, the background behind.

These are functions of their arguments alone and have tests of their own, which compute them every time. Tests of what
is built on them spent a third of their processor time on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from portraittalk.face.mesh import MeshProvider
    from portraittalk.types import Face


@pytest.fixture(scope="module")
def pictures_seen_once() -> Iterator[None]:
    """Faces, mattes and backgrounds of a picture are worked out once for all tests that use this fixture."""
    with pytest.MonkeyPatch.context() as patch:
        see_pictures_once(patch, "portraittalk")
        yield


def see_pictures_once(patch: pytest.MonkeyPatch, library: str) -> None:
    """Let the library, by the name of its package, remember what it has found in pictures."""
    patch.setattr(import_module(f"{library}.face.mesh").MeshProvider, "__call__", _faces_once(library))
    for module, name in (("head", "person_matte"), ("backdrop", "continued")):
        patch.setattr(import_module(f"{library}.compositing.{module}"), name, _once(library, module, name))


@cache
def _faces_once(library: str) -> Callable[[MeshProvider, Tensor], list[Face]]:
    digest = import_module(f"{library}.pipelines.unfinished").digest
    networks = import_module(f"{library}.face.networks").load_face_networks
    find = import_module(f"{library}.face.mesh").MeshProvider.__call__
    known: dict[str, list[Face]] = {}

    def faces(provider: MeshProvider, image: Tensor) -> list[Face]:
        if provider._networks is not networks():
            return find(provider, image)
        key = digest(image, provider._max_faces)
        if key not in known:
            known[key] = find(provider, image)
        return list(known[key])

    return faces


@cache
def _once(library: str, module: str, name: str) -> Callable[..., Tensor]:
    digest = import_module(f"{library}.pipelines.unfinished").digest
    work = getattr(import_module(f"{library}.compositing.{module}"), name)
    known: dict[str, Tensor] = {}

    def remembered(*arguments: Any) -> Tensor:
        key = digest(*(argument for argument in arguments if not callable(argument)))
        if key not in known:
            known[key] = work(*arguments)
        else:
            for on_step in filter(callable, arguments):  # which may cancel the run
                on_step()
        return known[key]

    return remembered
