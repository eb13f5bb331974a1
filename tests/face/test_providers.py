"""Ways to find faces, by name."""

import pytest

from portraittalk.errors import SettingsError
from portraittalk.face.mesh import MeshProvider
from portraittalk.face.providers import provider_named


def test_our_own_is_there_by_name():
    assert isinstance(provider_named("own"), MeshProvider)


def test_another_name_is_refused_with_the_choices():
    with pytest.raises(SettingsError, match="'dlib': choose own or mediapipe"):
        provider_named("dlib")
