"""Models: ComfyUI's folders, devices and memory management."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from ...portraittalk.errors import WeightsError
from ...portraittalk.metrics.metric_nets import FOLDER as METRICS
from ...portraittalk.pipelines.load import AnyPipeline, load_model, pipeline_class
from ...portraittalk.pipelines.mini import MiniPipeline
from ...portraittalk.types import SamplingSettings
from ...portraittalk.weights.catalogue import PICKLED, PUBLIC, catalogue
from ...portraittalk.weights.files import BUILT_IN, find_weights
from ...portraittalk.weights.load import read_config
from ...portraittalk.weights.public import read_public
from .progress import check_cancelled

MODEL_FOLDER = "portraittalk"
PUBLIC_FOLDER = "portraittalk_public"  # as the front end knows models/portraittalk/public
ADAPTER_FOLDER = "ipadapter"
MODEL_SUFFIX = ".safetensors"
SD15_LATENT_SCALE = 0.18215
_BYTES_PER_PIXEL = 2048  # of activations, for each pixel of a crop: a generous guess, so that ComfyUI makes room
logger = logging.getLogger(__name__)


class PortraitTalk(nn.ModuleDict):
    """The networks of a ``Model`` as the one module that ComfyUI's model management moves about."""


@dataclass(frozen=True)
class LoadedModel:
    """What travels through a PORTRAITTALK_MODEL socket. ``patcher`` owns where the networks of ``model`` are."""

    model: AnyPipeline
    patcher: comfy.model_patcher.ModelPatcher

    def ready(self, frames: int = 1, working: int | None = None) -> AnyPipeline:
        """The model on its compute device, with room to work on so many frames at a time, or for ``working`` bytes."""
        needed = frames * self.model.config.crop_size**2 * _BYTES_PER_PIXEL if working is None else working
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed)
        return self.model

    def working_memory(
        self, frames: int, settings: SamplingSettings, picture: tuple[int, int], references: int
    ) -> int | None:
        """Bytes that a run holds beside the weights, as ``estimate`` has it; the log tells the whole. None for our own
        models, which are small."""
        device = self.patcher.load_device.type
        config, dtype = self.model.config, self.model.dtype
        need = self.model.memory(config, frames, settings, dtype, device, picture, references, offload=False)
        if need is None:
            return None
        logger.info("PortraitTalk: memory: about %s", need)
        return need.peak - need.weights - need.outside


def load(name_or_path: str | Path) -> LoadedModel:
    """Reads a model to the offload device; it moves when it is used. Raises WeightsError."""
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    path = find_weights(name_or_path) if isinstance(name_or_path, str) else name_or_path
    public = not pipeline_class(read_config(path)).own_precision
    half = public and load_device.type != "cpu"  # as it is computed with, wherever it waits
    model = load_model(path, device=offload_device, dtype=torch.float16 if half else None)
    if public:
        heed_cancel(model)
    # Looked up when called: ComfyUI's main.py rebinds CoreModelPatcher after custom nodes may have been imported.
    patcher = comfy.model_patcher.CoreModelPatcher(PortraitTalk(model.modules()), load_device, offload_device)
    return LoadedModel(model, patcher)


@lru_cache(maxsize=1)
def _built_in() -> LoadedModel:
    return load(BUILT_IN)


def built_in_model() -> MiniPipeline:
    """``mini``, ready: the nodes turn to it for what a model of public weights lacks."""
    model = _built_in().ready()
    assert isinstance(model, MiniPipeline)
    return model


def heed_cancel(model: AnyPipeline) -> None:
    """Has Cancel end the work inside of a network as well: a step of large ones takes seconds, a block does not."""
    for network in model.modules().values():
        for module in network.modules():
            if isinstance(module, (BasicTransformerBlock, ResnetBlock2D)):
                module.register_forward_pre_hook(lambda module, inputs: check_cancelled())


def register_model_folder() -> None:
    """Makes models/portraittalk known beside what extra_model_paths.yaml names, for .safetensors files only, and the
    folder ``public`` in each of them for files as they were published."""
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(Path(folder_paths.models_dir) / MODEL_FOLDER))
    folder_paths.folder_names_and_paths[MODEL_FOLDER][1].update({MODEL_SUFFIX})
    for folder in model_folders():
        folder_paths.add_model_folder_path(PUBLIC_FOLDER, str(folder / PUBLIC))
    folder_paths.folder_names_and_paths[PUBLIC_FOLDER][1].update({MODEL_SUFFIX, *PICKLED})
    folder_paths.add_model_folder_path(ADAPTER_FOLDER, str(Path(folder_paths.models_dir) / ADAPTER_FOLDER))
    folder_paths.folder_names_and_paths[ADAPTER_FOLDER][1].update({MODEL_SUFFIX, ".bin"})


def model_folders() -> list[Path]:
    """The folders of models, the one that new files go to first."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(MODEL_FOLDER)]


def metric_folders() -> list[Path]:
    """Where weights of published metrics are looked for: the folder ``metrics`` in each folder of models."""
    return [folder / METRICS for folder in model_folders()]


def list_models() -> list[str]:
    """Names of the models in the registered folders, public files and weights of metrics left out."""
    names = folder_paths.get_filename_list(MODEL_FOLDER)
    return [name for name in names if Path(name).parts[0] not in (PUBLIC, METRICS)]


def model_path(name: str) -> Path:
    """The file of a name out of ``list_models``. Raises WeightsError for every other name."""
    if name not in list_models():
        raise WeightsError(no_model(name))
    return Path(folder_paths.get_full_path_or_raise(MODEL_FOLDER, name))


def no_model(name: str) -> str:
    """The sentence for a model that is not there; of one that can be made, what it is made of and where that goes."""
    public = catalogue().models.get(name.removesuffix(MODEL_SUFFIX))
    if public is None:
        return f"There is no model '{name}' in models/{MODEL_FOLDER}; choose one from the list."
    missing = ", ".join(file.name for file in public.missing(model_folders())) or "no file"
    place = model_folders()[0]
    return (
        f"{place / name} is not there yet: `portraittalk weights get {public.name}` makes it of the files in "
        f"{place / PUBLIC}, where {missing} is missing; so does the node Load PortraitTalk Model from Public Files."
    )


def list_public_files() -> list[str]:
    """Names of the files as they were published, in the registered folders."""
    return folder_paths.get_filename_list(PUBLIC_FOLDER)


def public_path(name: str) -> Path:
    """The file of a name out of ``list_public_files``. Raises WeightsError for every other name."""
    if name not in list_public_files():
        raise WeightsError(f"There is no file '{name}' in models/{MODEL_FOLDER}/{PUBLIC}; choose one from the list.")
    return Path(folder_paths.get_full_path_or_raise(PUBLIC_FOLDER, name))


def list_adapters() -> list[str]:
    """Names of IP-Adapter files, which live where other packs look for them as well."""
    return folder_paths.get_filename_list(ADAPTER_FOLDER)


def adapter_tensors(name: str) -> dict[str, Tensor]:
    """An IP-Adapter's tensors. Raises WeightsError for a name that is not listed, and a file that cannot be read."""
    if name not in list_adapters():
        raise WeightsError(f"There is no IP-Adapter '{name}' in models/{ADAPTER_FOLDER}; choose one from the list.")
    return read_public(Path(folder_paths.get_full_path_or_raise(ADAPTER_FOLDER, name)))


def unet_tensors(model: Any) -> dict[str, Tensor]:
    """The denoiser of a MODEL on the CPU, its LoRAs and other patches merged, by a checkpoint file's names."""
    return {key: value.to("cpu").data for key, value in model.state_dict_for_saving().items()}


def unet_dtype(model: Any) -> torch.dtype:
    """The precision that a denoiser made of a MODEL runs in."""
    return model.model_dtype() if model.model_dtype() in (torch.float32, torch.bfloat16) else torch.float16


def text_tokens(clip: Any, text: str) -> Tensor:
    """What a CLIP makes of a prompt, weights such as (word:1.2) and embeddings included: (1, L, D)."""
    return clip.encode_from_tokens(clip.tokenize(text)).float()


def image_features(clip_vision: Any, image: Tensor) -> Tensor:
    """What a CLIP_VISION sees in an IMAGE, before its last layer: (N, P, C)."""
    return clip_vision.encode_image(image)["penultimate_hidden_states"].float()


def managed(module: nn.Module, pixels: int) -> comfy.model_patcher.ModelPatcher:
    """Puts a module on its compute device, with room to work on so many pixels. Keep what is returned while it works:
    with it, ComfyUI's account of the memory goes."""
    management = comfy.model_management
    offload_device = management.unet_offload_device()
    patcher = comfy.model_patcher.CoreModelPatcher(module, management.get_torch_device(), offload_device)
    management.load_models_gpu([patcher], memory_required=pixels * _BYTES_PER_PIXEL)
    return patcher


def output_device() -> torch.device:
    """Where the tensors that leave a node belong."""
    return comfy.model_management.intermediate_device()
