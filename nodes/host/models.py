"""Model files in ComfyUI's folders, and models under ComfyUI's device and memory management."""

import logging
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from torch import Tensor, nn

from ...portraittalk.checks import shown
from ...portraittalk.errors import WeightsError
from ...portraittalk.metrics.metric_nets import FOLDER as METRICS
from ...portraittalk.pipelines.unfinished import digest
from ...portraittalk.types import SamplingSettings
from ...portraittalk.weights.catalogue import PICKLED, PUBLIC, catalogue
from ...portraittalk.weights.files import BUILT_IN, find_weights
from ...portraittalk.weights.load import read_config
from ...portraittalk.weights.public import read_public
from .progress import check_cancelled

if TYPE_CHECKING:
    from ...portraittalk.pipelines.load import AnyPipeline
    from ...portraittalk.pipelines.window import WindowPipeline

MODEL_FOLDER = "portraittalk"
PUBLIC_FOLDER = "portraittalk_public"  # name of models/portraittalk/public in ComfyUI's front end
ADAPTER_FOLDER = "ipadapter"
MODEL_SUFFIX = ".safetensors"
SD15_LATENT_SCALE = 0.18215
_BYTES_PER_PIXEL = 2048  # activations per crop pixel, a generous estimate, so that ComfyUI frees enough memory
logger = logging.getLogger(__name__)


class PortraitTalk(nn.ModuleDict):
    """All networks of a pipeline as one module, for ComfyUI's model management."""


@dataclass(frozen=True)
class LoadedModel:
    """The value of a PORTRAITTALK_MODEL socket. ``patcher`` controls the device of the networks in ``model``."""

    model: "AnyPipeline"
    patcher: comfy.model_patcher.ModelPatcher

    def ready(self, frames: int = 1, working: int | None = None) -> "AnyPipeline":
        """Move the model to its compute device and return it.

        ComfyUI frees memory for the activations of ``frames`` frames at a time, or ``working`` bytes if given.
        """
        needed = frames * self.model.config.crop_size**2 * _BYTES_PER_PIXEL if working is None else working
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed)
        return self.model

    @cached_property
    def digest(self) -> str:
        """A digest of the networks. Takes seconds for models of public weights, once."""
        return digest(*self.model.signature())

    def working_memory(
        self, frames: int, settings: SamplingSettings, picture: tuple[int, int], references: int
    ) -> int | None:
        """Return the bytes that a run needs in addition to the weights, and log the full estimate.

        None for PortraitTalk's own models, which are small.
        """
        device = self.patcher.load_device.type
        config, dtype = self.model.config, self.model.dtype
        need = self.model.memory(config, frames, settings, dtype, device, picture, references, offload=False)
        if need is None:
            return None
        logger.info("PortraitTalk: memory: about %s", need)
        return need.peak - need.weights - need.outside


def load(name_or_path: str | Path) -> LoadedModel:
    """Load a model onto the offload device; ``LoadedModel.ready`` moves it to the compute device.

    Models made of public weights use half precision unless the compute device is the CPU. Raises WeightsError.
    """
    from ...portraittalk.pipelines.load import load_model, pipeline_class

    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    path = find_weights(name_or_path) if isinstance(name_or_path, str) else name_or_path
    public = not pipeline_class(read_config(path)).fixed_precision
    half = public and load_device.type != "cpu"  # the precision used on the compute device, also while offloaded
    model = load_model(path, device=offload_device, dtype=torch.float16 if half else None)
    if public:
        cancel_between_blocks(model)
    # Looked up at call time: ComfyUI's main.py rebinds CoreModelPatcher, possibly after custom nodes were imported.
    patcher = comfy.model_patcher.CoreModelPatcher(PortraitTalk(model.modules()), load_device, offload_device)
    return LoadedModel(model, patcher)


@lru_cache(maxsize=1)
def _built_in() -> LoadedModel:
    return load(BUILT_IN)


def built_in_model() -> "WindowPipeline":
    """Return ``mini`` on its compute device, which supplies the motion network that models of public weights lack."""
    from ...portraittalk.pipelines.window import WindowPipeline

    model = _built_in().ready()
    assert isinstance(model, WindowPipeline)
    return model


def cancel_between_blocks(model: "AnyPipeline") -> None:
    """Check for cancellation before every block, because a step of a large network takes seconds."""
    from diffusers.models.attention import BasicTransformerBlock
    from diffusers.models.resnet import ResnetBlock2D

    from ...portraittalk.models.liveportrait.blocks import ConvBlock
    from ...portraittalk.models.liveportrait.generator import SpadeBlock
    from ...portraittalk.models.liveportrait.motion import ConvNextBlock

    blocks = BasicTransformerBlock, ResnetBlock2D, ConvBlock, SpadeBlock, ConvNextBlock
    for network in model.modules().values():
        for module in network.modules():
            if isinstance(module, blocks):
                module.register_forward_pre_hook(lambda module, inputs: check_cancelled())


def register_model_folder() -> None:
    """Register the model folders with ComfyUI, in addition to those in extra_model_paths.yaml.

    models/portraittalk for .safetensors files, its subfolder ``public`` for published files including pickled ones,
    and models/ipadapter for IP-Adapters.
    """
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(Path(folder_paths.models_dir) / MODEL_FOLDER))
    folder_paths.folder_names_and_paths[MODEL_FOLDER][1].update({MODEL_SUFFIX})
    for folder in model_folders():
        folder_paths.add_model_folder_path(PUBLIC_FOLDER, str(folder / PUBLIC))
    folder_paths.folder_names_and_paths[PUBLIC_FOLDER][1].update({MODEL_SUFFIX, *PICKLED})
    folder_paths.add_model_folder_path(ADAPTER_FOLDER, str(Path(folder_paths.models_dir) / ADAPTER_FOLDER))
    folder_paths.folder_names_and_paths[ADAPTER_FOLDER][1].update({MODEL_SUFFIX, ".bin"})


def model_folders() -> list[Path]:
    """The registered model folders; new files are written to the first."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(MODEL_FOLDER)]


def metric_folders() -> list[Path]:
    """The folders searched for the weights of published metrics: ``metrics`` in each model folder."""
    return [folder / METRICS for folder in model_folders()]


def list_models() -> list[str]:
    """Names of the models in the registered folders, without public files and metric weights."""
    names = folder_paths.get_filename_list(MODEL_FOLDER)
    return [name for name in names if Path(name).parts[0] not in (PUBLIC, METRICS)]


def model_path(name: str) -> Path:
    """Return the path of a model in ``list_models``. Raises WeightsError for any other name."""
    if name not in list_models():
        raise WeightsError(missing_model_message(name))
    return Path(folder_paths.get_full_path_or_raise(MODEL_FOLDER, name))


def missing_model_message(name: str) -> str:
    """Return the error message for a model that does not exist.

    For a model in the catalogue of public weights, it names the missing files and their folder.
    """
    public = catalogue().models.get(name.removesuffix(MODEL_SUFFIX))
    if public is None:
        return f"There is no model {shown(name)} in models/{MODEL_FOLDER}; choose one from the list."
    missing = ", ".join(file.name for file in public.missing(model_folders())) or "nothing"
    folder = model_folders()[0]
    return (
        f"{folder / name} does not exist yet: create it with `portraittalk weights get {public.name}` or the node Load "
        f"PortraitTalk Model from Public Files, from the files in {folder / PUBLIC} (missing: {missing})."
    )


def list_public_files() -> list[str]:
    """Names of the published weights files in the registered folders."""
    return folder_paths.get_filename_list(PUBLIC_FOLDER)


def public_path(name: str) -> Path:
    """Return the path of a file in ``list_public_files``. Raises WeightsError for any other name."""
    if name not in list_public_files():
        raise WeightsError(
            f"There is no file {shown(name)} in models/{MODEL_FOLDER}/{PUBLIC}; choose one from the list."
        )
    return Path(folder_paths.get_full_path_or_raise(PUBLIC_FOLDER, name))


def list_adapters() -> list[str]:
    """Names of the IP-Adapter files in models/ipadapter, the folder that other packs also use."""
    return folder_paths.get_filename_list(ADAPTER_FOLDER)


def adapter_tensors(name: str) -> dict[str, Tensor]:
    """Read an IP-Adapter's tensors. Raises WeightsError if it is not in ``list_adapters`` or cannot be read."""
    if name not in list_adapters():
        raise WeightsError(
            f"There is no IP-Adapter {shown(name)} in models/{ADAPTER_FOLDER}; choose one from the list."
        )
    return read_public(Path(folder_paths.get_full_path_or_raise(ADAPTER_FOLDER, name)))


def unet_tensors(model: Any) -> dict[str, Tensor]:
    """Return the UNet of a MODEL on the CPU with LoRAs and other patches merged, keyed as in a checkpoint file."""
    return {key: value.to("cpu").data for key, value in model.state_dict_for_saving().items()}


def unet_dtype(model: Any) -> torch.dtype:
    """Return the precision for running the UNet of a MODEL: float32 or bfloat16 if it uses them, otherwise float16."""
    return model.model_dtype() if model.model_dtype() in (torch.float32, torch.bfloat16) else torch.float16


def text_tokens(clip: Any, text: str) -> Tensor:
    """Encode a prompt with a CLIP to text tokens (1, L, D); weights such as (word:1.2) and embeddings work."""
    return clip.encode_from_tokens(clip.tokenize(text)).float()


def image_features(clip_vision: Any, image: Tensor) -> Tensor:
    """Encode an IMAGE with a CLIP_VISION to its penultimate hidden states (N, P, C)."""
    return clip_vision.encode_image(image)["penultimate_hidden_states"].float()


def managed(module: nn.Module, pixels: int) -> comfy.model_patcher.ModelPatcher:
    """Move a module to the compute device, with memory freed for the activations of ``pixels`` pixels.

    Keep a reference to the returned patcher while the module is in use: ComfyUI tracks its memory through it.
    """
    management = comfy.model_management
    offload_device = management.unet_offload_device()
    patcher = comfy.model_patcher.CoreModelPatcher(module, management.get_torch_device(), offload_device)
    management.load_models_gpu([patcher], memory_required=pixels * _BYTES_PER_PIXEL)
    return patcher


def output_device() -> torch.device:
    """Return the device for tensors that a node outputs."""
    return comfy.model_management.intermediate_device()


def outputs_can_spill() -> bool:
    """Whether tensors that a node outputs may lie in a file, see ``files.tensor_on_disk``."""
    return output_device().type == "cpu" and hasattr(os, "posix_fallocate")


def free_memory() -> int:
    """Return the free bytes of the device for a node's outputs."""
    return int(comfy.model_management.get_free_memory(output_device()))
