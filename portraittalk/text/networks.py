"""Loading and saving the prompt networks, whose weights and vocabulary ship with the package."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from ..config import LookConfig, TextConfig
from ..errors import WeightsError
from ..models.look_net import LookNet, LookReader
from ..models.text_net import ExpressionNet, SentenceNet
from ..tensor_files import load_configured, save_configured

FOLDER = Path(__file__).parent.parent / "assets" / "text"
FILE, VOCABULARY = FOLDER / "expression.safetensors", FOLDER / "vocabulary.txt"
LOOK_FILE = FOLDER / "look.safetensors"
FORMAT, LOOK_FORMAT = "portraittalk text", "portraittalk look"


class TextNetworks(nn.Module):
    """The sentence encoder and the expression predictor."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.sentences, self.expression = SentenceNet(config), ExpressionNet(config)


class LookNetworks(nn.Module):
    """The network that renders a look, and the classifier of looks on top of the sentence encoder."""

    def __init__(self, config: LookConfig) -> None:
        super().__init__()
        self.config = config
        self.net, self.reader = LookNet(config), LookReader(config)


@lru_cache(maxsize=2)
def load_text_networks(path: Path = FILE) -> TextNetworks:
    """Load the text networks on the CPU, where a prompt takes milliseconds.

    Raises WeightsError if the file is missing, damaged, or contains something else.
    """
    return load_configured(path, FORMAT, "the text encoder", TextConfig, TextNetworks)


@lru_cache(maxsize=2)
def load_look_networks(path: Path = LOOK_FILE) -> LookNetworks:
    """Load the look networks on the CPU. Raises WeightsError as ``load_text_networks`` does."""
    return load_configured(path, LOOK_FORMAT, "the look networks", LookConfig, LookNetworks)


def save_text_networks(path: Path, networks: TextNetworks) -> None:
    """Write the networks in half precision."""
    save_configured(path, FORMAT, networks, networks.config)


def save_look_networks(path: Path, networks: LookNetworks) -> None:
    """Write the networks in half precision."""
    save_configured(path, LOOK_FORMAT, networks, networks.config)


@lru_cache(maxsize=1)
def load_tokenizer(path: Path = VOCABULARY) -> Any:
    """Load the lower-case BERT WordPiece tokenizer. Raises WeightsError if ``tokenizers`` is not installed."""
    try:
        from tokenizers import BertWordPieceTokenizer
    except ImportError as error:
        raise WeightsError(
            "Prompts need the package tokenizers: pip install tokenizers, or leave the prompts empty."
        ) from error
    return BertWordPieceTokenizer(str(path), lowercase=True)
