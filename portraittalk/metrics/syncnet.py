"""SyncNet (Chung and Zisserman, "Out of time", 2016): embeddings of five frames of a face and of 0.2 s of audio.

Attribute names are the keys of the published file ``syncnet_v2.model``.
"""

from torch import Tensor, nn

WINDOW = 5  # video frames per embedding, at 25 fps
SOUND_WINDOW = 20  # MFCC frames per embedding, at 100 per second
STEPS_PER_FRAME = 4  # MFCC frames per video frame
DIM = 1024  # embedding size


class SyncNet(nn.Module):
    """Two encoders, of faces and of speech, whose embeddings are close if the two are in sync."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer(nn.Conv2d(1, 64, 3, padding=1)),
            nn.Identity(),  # a 1x1 pooling in the published network; keeps the layer indices
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

    def embed_faces(self, frames: Tensor) -> Tensor:
        """Return an embedding (F - 4, 1024) per window of five consecutive faces (F, 3, 224, 224), BGR in 0..255.

        Only the first layer spans time, so a run of frames gives the same embeddings as its windows one by one.
        """
        features = self.netcnnlip(frames.transpose(0, 1)[None])  # (1, 512, F - 4, 1, 1)
        return self.netfclip(features[0, :, :, 0, 0].T)

    def embed_audio(self, cepstra: Tensor) -> Tensor:
        """Return an embedding (1 + (T - 20) // 4, 1024) per video frame of MFCCs (T, 13), 100 per second."""
        windows = cepstra.unfold(0, SOUND_WINDOW, STEPS_PER_FRAME)  # (N, 13, 20)
        return self.netfcaud(self.netcnnaud(windows[:, None]).flatten(1))


def _layer(weights: nn.Conv2d | nn.Conv3d | nn.Linear) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return a layer with its batch normalisation and ReLU."""
    if isinstance(weights, nn.Linear):
        return weights, nn.BatchNorm1d(weights.out_features), nn.ReLU()
    norm = nn.BatchNorm3d if isinstance(weights, nn.Conv3d) else nn.BatchNorm2d
    return weights, norm(weights.out_channels), nn.ReLU()
