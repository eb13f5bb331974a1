"""``portraittalk train animate | distil``: train IdentityNet and AnimateNet on pair files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .train import Config, LeaveOut, Minutes, Out, Pairs, Seed, Set, Steps, app, clips_of, configured, ends

if TYPE_CHECKING:
    from ..config import PortraitTalkConfig
    from ..models.autoencoder import Autoencoder
    from ..training.trainer import Validate


@app.command()
def animate(
    out: Out,
    config: Config = None,
    stage: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1: identity, on single frames. 2: motion, on windows of frames."),
    ] = None,
    pairs: Pairs = None,
    minutes: Minutes = None,
    steps: Steps = None,
    embeddings: Annotated[Path | None, typer.Option(help="Output file of `embed`, for stage 1.")] = None,
    start: Annotated[Path | None, typer.Option(help="Initial weights; for stage 2, those of stage 1.")] = None,
    batch: Annotated[int | None, typer.Option(help="Frames per training step.")] = None,
    part: Annotated[
        int | None, typer.Option(help="Side of the training crops in latent cells; 0 trains on whole frames.")
    ] = None,
    decoder: Annotated[
        Path | None,
        typer.Option(help="Weights of the autoencoder, for the loss on decoded mouths and for validation pictures."),
    ] = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train IdentityNet and AnimateNet, in one of two stages."""
    import torch

    from ..tensor_files import load_into, read_tensors
    from ..training.animate.perceptual import MouthLoss
    from ..training.animate.stages import Networks, train_animate
    from ..training.runs import AnimateRun

    options: dict[str, Any] = {
        "pairs": pairs,
        "embeddings": embeddings,
        "start": start,
        "decoder": decoder,
        "leave_out": leave_out,
    }
    options.update({"training.stage": stage, "training.batch": batch, "training.part": part})
    options |= ends(minutes, steps, seed)
    run = configured(AnimateRun, "animate", out, config, options, set_)
    training, network = run.training, run.network
    torch.manual_seed(training.seed)
    networks = Networks(network)
    if run.start is not None:
        load_into(networks, run.start)
    files = clips_of(run.pairs, run.leave_out)
    decoder_, mouth_loss = None, None
    if run.decoder is not None:
        decoder_ = _decoder(run.decoder, network)
        mouth_loss = MouthLoss(decoder_) if training.pictures else None
    frames = 1 if training.stage == 1 else training.window
    validate = _validation(run.pairs, files, decoder_, frames, network)
    embeddings_ = {} if run.embeddings is None else read_tensors(run.embeddings)[1]
    train_animate(files, embeddings_, networks, network, training, out, mouth_loss, validate)


@app.command()
def distil(
    out: Out,
    config: Config = None,
    pairs: Pairs = None,
    teacher: Annotated[Path | None, typer.Option(help="Weights trained by `animate`.")] = None,
    student_steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps of the student.")] = None,
    teacher_steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps of the teacher: a multiple of --student-steps.")
    ] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    decoder: Annotated[Path | None, typer.Option(help="Weights of the autoencoder, for validation pictures.")] = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Distil AnimateNet to fewer denoising steps."""
    from ..tensor_files import load_into
    from ..training.animate.distil import train_distil
    from ..training.animate.stages import Networks
    from ..training.runs import DistilRun

    options: dict[str, Any] = {"pairs": pairs, "teacher": teacher, "decoder": decoder, "leave_out": leave_out}
    options.update(
        {"training.steps": student_steps, "training.teacher_steps": teacher_steps, **ends(minutes, steps, seed)}
    )
    run = configured(DistilRun, "distil", out, config, options, set_)
    networks, training = Networks(run.network), run.training
    load_into(networks, run.teacher)
    files = clips_of(run.pairs, run.leave_out)
    decoder_ = None if run.decoder is None else _decoder(run.decoder, run.network)
    validate = _validation(run.pairs, files, decoder_, training.window, run.network, training.steps)
    train_distil(files, networks, run.network, training, out, validate)


def _decoder(weights: Path, network: "PortraitTalkConfig") -> "Autoencoder":
    from ..models.autoencoder import Autoencoder
    from ..tensor_files import load_into

    decoder = Autoencoder(network.autoencoder).eval().requires_grad_(False)
    load_into(decoder, weights)
    return decoder


def _validation(
    pairs: Path,
    training_files: list[Path],
    decoder: "Autoencoder | None",
    frames: int,
    network: "PortraitTalkConfig",
    steps: int = 1,
) -> "Validate | None":
    """Return a function that renders held-out pairs, or training pairs if none are held out; None without a decoder."""
    if decoder is None:
        return None
    from ..training.animate.stages import Networks
    from ..training.animate.validate import comparison, validation_windows
    from ..training.data.prepare import clip_files

    held_out = [path for path in clip_files(pairs) if path not in training_files]
    windows = validation_windows(held_out or training_files, frames, network)
    return lambda average, step: comparison(cast(Networks, average), windows, decoder, network, steps)
