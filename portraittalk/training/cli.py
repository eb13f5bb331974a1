"""``portraittalk train``: every step from prepared clips to the networks that ``weights pack`` joins.

``portraittalk prepare`` makes the clips; then the order is autoencoder, basis and motion (``python -m
portraittalk.training.basis | motion``), embed, pairs, animate --stage 1, animate --stage 2.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train the networks of a PortraitTalk from videos and portraits.")

Clips = Annotated[Path, typer.Option(help="Folder of prepared clips.")]
Out = Annotated[Path, typer.Option(help="Folder of the run; a run that is there is resumed.")]
Minutes = Annotated[float, typer.Option(help="When to stop; the learning rate falls to zero by then.")]
LeaveOut = Annotated[list[str] | None, typer.Option(help="Clips whose name begins so are not trained on; repeatable.")]
Seed = Annotated[int, typer.Option(help="Of data order, augmentation and initial weights.")]


@app.callback()
def _logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


@app.command()
def autoencoder(
    clips: Clips,
    out: Out,
    minutes: Minutes,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    decoder_only: Annotated[bool, typer.Option("--decoder-only", help="Keep the latents as they are.")] = False,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
) -> None:
    """Train the autoencoder."""
    from ..config import MINI
    from .autoencoder import AutoencoderTraining, train_autoencoder
    from .prepare import clip_files
    from .trainer import TrainerConfig

    trainer = TrainerConfig(minutes=minutes, learning_rate=6e-4)
    training = AutoencoderTraining(decoder_only=decoder_only, seed=seed, trainer=trainer)
    train_autoencoder(list(clip_files(clips, leave_out or [])), MINI.crop_size, MINI.autoencoder, training, out, start)


@app.command()
def embed(
    clips: Clips, out: Annotated[Path, typer.Option(help="File to write.")], every: int = 15, leave_out: LeaveOut = None
) -> None:
    """Ask a face recogniser about every clip: what IdentityNet's encoder learns from."""
    import torch
    from safetensors.torch import save_file

    from .data import open_clip
    from .prepare import clip_files
    from .teacher import SFace

    recognise = SFace()
    found = {}
    for path in clip_files(clips, leave_out or []):
        clip = open_clip(path)
        frames = range(0, len(clip), every)
        found[clip.name] = torch.stack([recognise(clip.frames(k, k + 1)[0], clip.landmarks[k]) for k in frames])
    save_file(found, out)


@app.command()
def pairs(
    clips: Clips,
    out: Annotated[Path, typer.Option(help="Folder of pair files to write; what is there is kept.")],
    autoencoder: Annotated[Path, typer.Option(help="Trained weights of the autoencoder.")],
    basis: Annotated[Path, typer.Option(help="The fitted expression basis.")],
    teeth: Annotated[Path, typer.Option(help="ICT-FaceKit as one npz of arrays V, F and M: teeth for closed mouths.")],
    scaling_factor: Annotated[float, typer.Option(help="Of the autoencoder: what gives its latents unit variance.")],
    variants: Annotated[int, typer.Option(help="Pair files of each clip.")] = 2,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
) -> None:
    """Make the pairs of reference and target that IdentityNet and AnimateNet are trained on, as latents."""
    from safetensors.torch import load_file

    from ..config import MINI
    from ..models.autoencoder import Autoencoder
    from .basis import read_basis
    from .pairs import PairSettings, make_pairs
    from .prepare import clip_files
    from .teeth import read_dentition

    network = Autoencoder(replace(MINI.autoencoder, scaling_factor=scaling_factor)).eval()
    network.load_state_dict(load_file(autoencoder))
    faces = read_basis(basis)
    files = list(clip_files(clips, leave_out or []))
    make_pairs(files, read_dentition(teeth), variants, network, faces, MINI, PairSettings(), seed, out)


@app.command()
def animate(
    pairs: Annotated[Path, typer.Option(help="Folder of pair files.")],
    out: Out,
    stage: Annotated[int, typer.Option(min=1, max=2, help="1: identity, on single frames. 2: motion, on windows.")],
    minutes: Minutes,
    embeddings: Annotated[Path | None, typer.Option(help="What `embed` wrote, for stage 1.")] = None,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with: those of stage 1, for stage 2.")] = None,
    batch: Annotated[int, typer.Option(help="Frames a step.")] = 16,
    part: Annotated[int, typer.Option(help="Latent rows and columns seen of a frame; 0: whole frames.")] = 0,
    decoder: Annotated[
        Path | None, typer.Option(help="Weights of the autoencoder, to compare mouths as they look decoded.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train IdentityNet and AnimateNet, one of the two stages."""
    import torch
    from safetensors.torch import load_file

    from ..config import MINI
    from ..models.autoencoder import Autoencoder
    from .animate import AnimateTraining, Networks, train_animate
    from .perceptual import MouthLoss
    from .trainer import TrainerConfig

    torch.manual_seed(seed)
    networks = Networks(MINI)
    mouth_loss = None
    if decoder is not None:
        autoencoder = Autoencoder(MINI.autoencoder).eval()
        autoencoder.load_state_dict(load_file(decoder))
        mouth_loss = MouthLoss(autoencoder)
    if start is not None:
        networks.load_state_dict(load_file(start))
    trainer = TrainerConfig(minutes=minutes, learning_rate=6e-4 if stage == 1 else 3e-4)
    training = AnimateTraining(stage=stage, batch=batch, part=part, seed=seed, trainer=trainer)
    known = {} if embeddings is None else load_file(embeddings)
    train_animate(sorted(pairs.glob("*.safetensors")), known, networks, MINI, training, out, mouth_loss)


def files_of(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(path for path in folder.iterdir() if path.is_file())
