"""The person matte's weights: those of MediaPipe's selfie segmentation (Apache-2.0), converted."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...config import MatteConfig
from ...errors import SettingsError, WeightsError
from ...models.matte_net import MatteNet

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "Convolution2DTransposeBias")


def converted(file: Path) -> MatteNet:
    """Return our network with the weights of ``selfie_segmentation.tflite``.

    Both run the same convolutions in the same order. Raises WeightsError for another file, and SettingsError if the
    interpreter is not installed.
    """
    interpreter = _interpreter(file)
    # The interpreter has no public way to list operations; this one is what its own tools use.
    every = interpreter._get_ops_details()
    operations = [operation for operation in every if operation["op_name"] in CONVOLUTIONS]
    stored = {op["outputs"][0]: op["inputs"][0] for op in every if op["op_name"] == "DEQUANTIZE"}  # in half precision
    network = MatteNet(MatteConfig()).eval()
    layers = _in_order(network)
    if len(layers) != len(operations):
        raise WeightsError(f"{file.name} is not MediaPipe's selfie segmentation: choose selfie_segmentation.tflite.")
    for layer, operation in zip(layers, operations, strict=True):
        weight, bias = (_constant(interpreter, stored.get(at, at)) for at in operation["inputs"][1:3])
        fitted = _as_torch(weight, layer)
        if fitted.shape != layer.weight.shape:
            raise WeightsError(f"{file.name} has a layer of another shape: choose selfie_segmentation.tflite.")
        layer.weight.data.copy_(fitted)
        layer.bias.data.copy_(bias)  # type: ignore[union-attr]  # all have one
    return network


def _interpreter(file: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise SettingsError(
            "Converting the matte needs the package ai-edge-litert: pip install ai-edge-litert."
        ) from error
    try:
        return Interpreter(str(file))
    except ValueError as error:
        raise WeightsError(f"{file.name} is not a TensorFlow Lite model: choose selfie_segmentation.tflite.") from error


def _constant(interpreter: Any, index: int) -> Tensor:
    return torch.from_numpy(interpreter.get_tensor(int(index))).float()


def _as_torch(weight: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """Bring a weight, (out, kernel, kernel, in) or depthwise (1, kernel, kernel, channels), into torch's order."""
    if isinstance(layer, nn.ConvTranspose2d) or layer.groups > 1:
        return weight.permute(3, 0, 1, 2)
    return weight.permute(0, 3, 1, 2)


def _in_order(network: MatteNet) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """Return the convolutions in the order in which they run."""
    order: list[nn.Conv2d | nn.ConvTranspose2d] = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_pre_hook(lambda module, _: order.append(module)) for layer in layers]
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return order
