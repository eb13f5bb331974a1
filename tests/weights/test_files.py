import pytest

from portraittalk.errors import WeightsError
from portraittalk.weights.files import available_weights, find_weights, usual_folder


def test_names_are_those_of_the_files(tmp_path):
    (tmp_path / "large.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    assert find_weights("large", [tmp_path]) == tmp_path / "large.safetensors"
    assert find_weights("large.safetensors", [tmp_path]) == tmp_path / "large.safetensors"
    assert "notes" not in available_weights([tmp_path])


@pytest.mark.parametrize("name", ["../large", "/etc/passwd", "a\\b", "C:large", "", ".", ".."])
def test_a_path_is_no_name(tmp_path, name):
    (tmp_path / "large.safetensors").touch()
    with pytest.raises(WeightsError, match="name"):
        find_weights(name, [tmp_path / "inner"])


def test_an_unknown_name_lists_what_there_is(tmp_path):
    (tmp_path / "large.safetensors").touch()
    with pytest.raises(WeightsError, match="large"):
        find_weights("huge", [tmp_path])


def test_inside_of_a_comfyui_models_lie_in_its_folder(tmp_path):
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "ComfyUI-PortraitTalk" / "portraittalk"
    assert usual_folder(pack) == tmp_path / "ComfyUI" / "models" / "portraittalk"
    assert usual_folder(tmp_path / "clone" / "portraittalk") is None
