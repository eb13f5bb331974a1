"""SyncNet (Chung and Zisserman, "Out of time", 2016): five frames of a face and 0.2 s of sound, each to one embedding.

Attribute names are the keys of the published file ``syncnet_v2.model``.
"""

from torch import Tensor, nn

WINDOW = 5  # frames that are seen together, at 25 a second
SOUND_WINDOW = 20  # cepstra that are heard together, at 100 a second
STEPS_PER_FRAME = 4  # of the cepstra
DIM = 1024  # of the embeddings


class SyncNet(nn.Module):
    """Embeddings of faces (``see``) and of speech (``hear``), near each other where the two belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer(nn.Conv2d(1, 64, 3, padding=1)),
            nn.Identity(),  # published as a pooling of one by one; it holds the place of its number
            *_layer(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_layer(nn.Conv2d(192, 384, 3, padding=1)),
            *_layer(nn.Conv2d(384, 256, 3, padding=1)),
            *_layer(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_layer(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netcnnlip = nn.Sequential(
            *_layer(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfcaud = nn.Sequential(*_layer(nn.Linear(512, 512)), nn.Linear(512, DIM))
        self.netfclip = nn.Sequential(*_layer(nn.Linear(512, 512)), nn.Linear(512, DIM))

    def see(self, frames: Tensor) -> Tensor:
        """Consecutive faces (F, 3, 224, 224), blue, green, red in 0..255 -> (F - 4, 1024), one for each five of them.

        Only the first layer looks over time, so that a run of frames gives what its windows give one by one.
        """
        features = self.netcnnlip(frames.transpose(0, 1)[None])  # (1, 512, F - 4, 1, 1)
        return self.netfclip(features[0, :, :, 0, 0].T)

    def hear(self, cepstra: Tensor) -> Tensor:
        """Cepstra (T, 13), 100 a second -> (1 + (T - 20) // 4, 1024), one for each frame at which a window begins."""
        windows = cepstra.unfold(0, SOUND_WINDOW, STEPS_PER_FRAME)  # (N, 13, 20)
        return self.netfcaud(self.netcnnaud(windows[:, None]).flatten(1))


def _layer(weights: nn.Conv2d | nn.Conv3d | nn.Linear) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A layer with its batch normalisation and its rectifier."""
    if isinstance(weights, nn.Linear):
        return weights, nn.BatchNorm1d(weights.out_features), nn.ReLU()
    norm = nn.BatchNorm3d if isinstance(weights, nn.Conv3d) else nn.BatchNorm2d
    return weights, norm(weights.out_channels), nn.ReLU()
