"""SpeechEncoder: hidden states of all layers of Whisper's encoder, as implemented in transformers."""

import torch
from torch import Tensor, nn

from ..config import SpeechConfig
from ..errors import WeightsError
from ..speech.whisper import MEL_BANDS, RATE, SECONDS

HEAD_DIM = 64  # in every size of Whisper
LAYERS_OF_DIM = {384: 4, 512: 6, 768: 12}  # tiny, base, small


class SpeechEncoder(nn.Module):
    """Log-mel spectrograms (N, 80, 3000) of 30 s -> features (N, 1500, L + 1, D), 50 per second.

    The features of a time step are the input of the first layer and the output of each of the L layers, without
    Whisper's final layer norm.
    """

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        try:
            from transformers import WhisperConfig
            from transformers.models.whisper.modeling_whisper import WhisperEncoder
        except ImportError as error:
            raise WeightsError(
                "Models with Whisper's speech encoder need transformers: pip install transformers."
            ) from error
        whisper = WhisperConfig(
            num_mel_bins=MEL_BANDS,
            d_model=config.dim,
            encoder_layers=LAYERS_OF_DIM[config.dim],
            encoder_attention_heads=config.dim // HEAD_DIM,
            encoder_ffn_dim=4 * config.dim,
            max_source_positions=SECONDS * RATE,
        )
        self.encoder = WhisperEncoder(whisper)
        self.encoder.layer_norm = nn.Identity()  # type: ignore[assignment]  # skips it

    def forward(self, mel: Tensor) -> Tensor:
        return torch.stack(self.encoder(mel, output_hidden_states=True).hidden_states, 2)
