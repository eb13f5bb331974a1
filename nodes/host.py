"""Everything that PortraitTalk wants of ComfyUI itself: devices, memory, progress, Cancel and folders.

The only file that imports ``comfy`` and ``folder_paths``.
"""

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
from comfy.cli_args import args
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from PIL import Image
from server import PromptServer
from torch import Tensor, nn

from ..portraittalk.errors import MediaError, WeightsError
from ..portraittalk.memory.estimate import estimate
from ..portraittalk.metrics.metric_nets import FOLDER as METRICS
from ..portraittalk.pipeline import AnyModel
from ..portraittalk.progress import Progress
from ..portraittalk.types import SamplingSettings
from ..portraittalk.weights.catalogue import PICKLED, PUBLIC, catalogue
from ..portraittalk.weights.files import BUILT_IN, find_weights
from ..portraittalk.weights.load import load_networks, read_config
from ..portraittalk.weights.model import Model
from ..portraittalk.weights.public import read_public

MODEL_FOLDER = "portraittalk"
PUBLIC_FOLDER = "portraittalk_public"  # as the front end knows models/portraittalk/public
ADAPTER_FOLDER = "ipadapter"
MODEL_SUFFIX = ".safetensors"
SD15_LATENT_SCALE = 0.18215
PREVIEW_SIDE = 512
_BYTES_PER_PIXEL = 2048  # of activations, for each pixel of a crop: a generous guess, so that ComfyUI makes room

logger = logging.getLogger(__name__)


# Models ---------------------------------------------------------------------------------------------------------------


class PortraitTalk(nn.ModuleDict):
    """The networks of a ``Model`` as the one module that ComfyUI's model management moves about."""


@dataclass(frozen=True)
class LoadedModel:
    """What travels through a PORTRAITTALK_MODEL socket. ``patcher`` owns where the networks of ``model`` are."""

    model: AnyModel
    patcher: comfy.model_patcher.ModelPatcher

    def ready(self, frames: int = 1, working: int | None = None) -> AnyModel:
        """The model on its compute device, with room to work on so many frames at a time, or for ``working`` bytes."""
        needed = frames * self.model.config.crop_size**2 * _BYTES_PER_PIXEL if working is None else working
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed)
        return self.model

    def working_memory(
        self, frames: int, settings: SamplingSettings, picture: tuple[int, int], references: int
    ) -> int | None:
        """Bytes that a run holds beside the weights, as ``estimate`` has it; the log tells the whole. None for our own
        models, which are small."""
        if isinstance(self.model, Model):
            return None
        device = self.patcher.load_device.type
        need = estimate(self.model.config, frames, settings, self.model.dtype, device, picture, references)
        logger.info("PortraitTalk: memory: about %s", need)
        return need.peak - need.weights - need.outside


def load(name_or_path: str | Path) -> LoadedModel:
    """Reads a model to the offload device; it moves when it is used. Raises WeightsError."""
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    path = find_weights(name_or_path) if isinstance(name_or_path, str) else name_or_path
    net = read_config(path).animate_net
    public = net.reference_attention or net.prediction == "epsilon"
    half = public and load_device.type != "cpu"  # as it is computed with, wherever it waits
    model = load_networks(path, device=offload_device, dtype=torch.float16 if half else None)
    if public:
        heed_cancel(model)
    # Looked up when called: ComfyUI's main.py rebinds CoreModelPatcher after custom nodes may have been imported.
    patcher = comfy.model_patcher.CoreModelPatcher(PortraitTalk(model.modules()), load_device, offload_device)
    return LoadedModel(model, patcher)


@lru_cache(maxsize=1)
def _built_in() -> LoadedModel:
    return load(BUILT_IN)


def built_in_model() -> Model:
    """``mini``, ready: the nodes turn to it for what a model of public weights lacks."""
    model = _built_in().ready()
    assert isinstance(model, Model)
    return model


def heed_cancel(model: AnyModel) -> None:
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


# Models of core's own -------------------------------------------------------------------------------------------------


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


# Progress and Cancel --------------------------------------------------------------------------------------------------


class HostProgress:
    """Shows the library's progress on the node, with previews, and ends the work when the user presses Cancel.

    Cancel is raised as ComfyUI's own BaseException, which passes through the library.
    """

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(1)

    def __call__(self, progress: Progress) -> None:
        check_cancelled()
        preview = None if progress.preview is None else ("JPEG", _picture(progress.preview), PREVIEW_SIDE)
        self._bar.update_absolute(progress.done, progress.total, preview)


def check_cancelled() -> None:
    """Raises ComfyUI's interrupt when Cancel was pressed."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def _picture(image: Tensor) -> Image.Image:
    step = max(max(image.shape[-2:]) // PREVIEW_SIDE, 1)
    pixels = (image[:, ::step, ::step].detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels)


def tell(node: type[io.ComfyNode], sentence: str) -> None:
    """Writes a sentence onto the node that runs, and into the log."""
    logger.warning(sentence)
    if node.hidden is not None and node.hidden.unique_id is not None:
        PromptServer.instance.send_progress_text(sentence, node.hidden.unique_id)


def blocked(reason: str) -> ExecutionBlocker:
    """The value of an output that this mode does not have: whatever is connected to it stops with ``reason``."""
    return ExecutionBlocker(reason)


# Files ----------------------------------------------------------------------------------------------------------------


def list_input_files(*kinds: str) -> list[str]:
    """Files directly in the input folder. kinds: "image", "audio", "video", or suffixes such as ".json"."""
    folder = Path(folder_paths.get_input_directory())
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    suffixes = tuple(kind for kind in kinds if kind.startswith("."))
    if suffixes:
        return [name for name in names if name.lower().endswith(suffixes)]
    return folder_paths.filter_files_content_types(names, list(kinds))


def list_output_files(suffix: str) -> list[str]:
    """Files of a suffix anywhere in the output folder, annotated the way ComfyUI does: ``name [output]``."""
    folder = Path(folder_paths.get_output_directory())
    return [f"{path.relative_to(folder).as_posix()} [output]" for path in sorted(folder.rglob(f"*{suffix}"))]


def stored_file(name: str) -> Path:
    """A file of ComfyUI's input folder, or of another of its folders by ``name [output]`` or ``name [temp]``.

    A name comes from a workflow and is not trusted: raises MediaError where it is not there or leads out of the folder.
    """
    plain, annotated = folder_paths.annotated_filepath(name)
    folder = Path(annotated or folder_paths.get_input_directory())
    path = _inside(folder, plain)
    if path is None or not path.is_file():
        raise MediaError(f"There is no file '{name}' in ComfyUI's {folder.name} folder; upload it or choose another.")
    return path


def stored_file_problem(name: str) -> str | None:
    """What is wrong with such a name, or None."""
    try:
        stored_file(name)
    except MediaError as error:
        return str(error)
    return None


def fingerprint(path: Path) -> str:
    """Changes when the file does."""
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


@dataclass(frozen=True)
class SavePlace:
    """A free name in the output folder: ``path(".mp4")`` is the file, ``subfolder`` what a preview is found by."""

    folder: Path
    stem: str
    subfolder: str

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.stem}{suffix}"


def output_place(prefix: str, width: int = 0, height: int = 0) -> SavePlace:
    """The next free name for a file name prefix, numbered as core does. Raises MediaError, see ``prefix_problem``."""
    problem = prefix_problem(prefix)
    if problem:
        raise MediaError(problem)
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    return SavePlace(Path(folder), f"{name}_{counter:05}_", subfolder)


def prefix_problem(prefix: str) -> str | None:
    """What is wrong with a file name prefix that comes from a workflow, or None."""
    if not prefix.strip() or prefix.endswith(("/", "\\")):
        return "The file name prefix is empty: give the file a name."
    if _inside(Path(folder_paths.get_output_directory()), prefix) is None:
        return f"The file name prefix '{prefix}' leads out of ComfyUI's output folder; use a name, or folder/name."
    return None


def temp_place(prefix: str) -> SavePlace:
    """The next free name in ComfyUI's temp folder, which ComfyUI empties by itself."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_temp_directory())
    return SavePlace(Path(folder), f"{name}_{counter:05}_", subfolder)


def workflow_metadata(prompt: Any, extra_pnginfo: dict[str, Any] | None) -> dict[str, Any]:
    """The workflow as the metadata that core writes into its files; empty where the user switched that off."""
    if args.disable_metadata:
        return {}
    found = dict(extra_pnginfo or {})
    if prompt is not None:
        found["prompt"] = prompt
    return found


def _inside(folder: Path, name: str) -> Path | None:
    """``folder / name`` with links followed, or None where that lies outside of the folder."""
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except (OSError, ValueError):  # a NUL byte, or a name that the system does not take
        return None
    return path if path.is_relative_to(root) and path != root else None
