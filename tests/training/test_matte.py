"""Converting the weights of MediaPipe's selfie segmentation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from portraittalk.config import MatteConfig
from portraittalk.errors import WeightsError
from portraittalk.models.matte_net import MatteNet, SameConv
from portraittalk.training.face import matte


class Interpreter:
    """Stands in for TensorFlow Lite, which is not a requirement: lists a network's convolutions as it would."""

    def __init__(self, network: MatteNet) -> None:
        self._operations, self._tensors = [], []
        for layer in matte._in_order(network):
            depthwise = layer.groups > 1 or isinstance(layer, torch.nn.ConvTranspose2d)
            weight = (
                layer.weight.detach().permute(1, 2, 3, 0) if depthwise else layer.weight.detach().permute(0, 2, 3, 1)
            )
            stored = self._constant(weight.half().numpy())
            expanded = self._constant(None)  # only exists while the model runs
            self._operations.append({"op_name": "DEQUANTIZE", "inputs": [stored], "outputs": [expanded]})
            bias = self._constant(layer.bias.detach().numpy())
            name = "DEPTHWISE_CONV_2D" if layer.groups > 1 else "CONV_2D"
            self._operations.append({"op_name": name, "inputs": [-1, expanded, bias], "outputs": [-1]})
            self._operations.append({"op_name": "RELU", "inputs": [-1], "outputs": [-1]})

    def _constant(self, value: "np.ndarray | None") -> int:
        self._tensors.append(value)
        return len(self._tensors) - 1

    def _get_ops_details(self) -> list[dict[str, object]]:
        return self._operations

    def get_tensor(self, index: int) -> np.ndarray:
        return self._tensors[index]


@pytest.fixture
def network() -> MatteNet:
    torch.manual_seed(0)
    return MatteNet(MatteConfig()).eval()


def test_weights_arrive_where_they_belong(network, monkeypatch):
    monkeypatch.setattr(matte, "_interpreter", lambda file: Interpreter(network))
    result = matte.converted(Path("selfie_segmentation.tflite"))
    picture = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(result(picture), network(picture), atol=1e-2, rtol=1e-2)  # stored in half precision


def test_another_model_is_refused(network, monkeypatch):
    interpreter = Interpreter(network)
    del interpreter._operations[-3:]
    monkeypatch.setattr(matte, "_interpreter", lambda file: interpreter)
    with pytest.raises(WeightsError, match="selfie_segmentation"):
        matte.converted(Path("other.tflite"))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_larger_at_the_end(kernel, stride):
    layer = SameConv(1, 1, kernel, stride)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    result = layer(torch.ones(1, 1, 8, 8))
    assert result.shape[-1] == 8 // stride
    before = (kernel - stride) // 2
    assert result[0, 0, 0, 0] == (kernel - before) ** 2
