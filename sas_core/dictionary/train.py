"""Train a BatchTopK SAE with sae-lens's trainer on our own activation stream; saved as JumpReLU.

BatchTopK: Bussmann et al., arXiv 2412.06410. The trainer, its losses and its files are sae-lens's; ours is
the stream without sinks and special tokens, the sparse step, the replay, the resume, and the running curve.
"""

import itertools
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from sas_core.dictionary.corpus import windows
from sas_core.dictionary.replay import Replay
from sas_core.dictionary.sparse_step import SparseStepSAE
from sas_core.dictionary.spec import TrainSpec
from sas_core.dictionary.stream import ActivationStream
from sas_core.dictionary.widen import take_over
from sas_core.errors import Unavailable

CHECKPOINT_SECONDS = 180.0
# of a wider SAE's start: positions for each latent, and at most
_EXAMPLES, _MOST_EXAMPLES = 5, 65_536


@dataclass(frozen=True)
class Progress:
    """One point of the curve. `fvu`: share of variance unexplained in the batch (0 is perfect)."""

    tokens: int
    fvu: float
    dead: int
    tokens_per_second: float


def train(model: Any, tokenizer: Any, spec: TrainSpec, workdir: Path) -> Iterator[Progress]:
    """Train until `spec.tokens`, yielding every 20 steps; resumes from `workdir` when it holds a checkpoint.

    Stop by closing the generator or with Ctrl-C: a checkpoint is written, as it is every three minutes.
    The finished inference SAE (JumpReLU, float16, readable by `SAE.load_from_disk`) is in `workdir/final`.

    Raises Unavailable when the text ends before the tokens do, BadInput for an SAE that cannot be begun from.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    stream = _stream(model, tokenizer, spec, workdir)
    resume = workdir if (workdir / "checkpoint").exists() else None
    batches = stream.batches(spec.batch_size, _buffer(spec))
    first = list(itertools.islice(batches, _examples(spec) if resume is None else 1))
    trainer = _trainer(spec, first, model.cfg.d_model, resume)
    batches = itertools.chain(first, batches)
    # the chain lets go of them once they are learnt; this name would keep them for the whole run
    del first
    yield from _steps(trainer, batches, spec, stream, workdir)
    save_inference(trainer.sae, spec, workdir / "final")
    (workdir / "final" / "training.json").write_text(json.dumps({"spec": spec.told(), **stream.counts}))


def _stream(model: Any, tokenizer: Any, spec: TrainSpec, workdir: Path) -> ActivationStream:
    replay, d_in = None, model.cfg.d_model
    if spec.replay:
        place = workdir / "replay"
        replay = Replay(place, d_in, spec.replay_positions, spec.replay, spec.buffer_size, spec.seed)
    source = windows(spec.sources, tokenizer, spec.context_size, spec.seed)
    stream = ActivationStream(model, spec.hook_name, source, replay=replay)
    if counts := _counts(workdir):
        # a kill between the two leaves the ring a little further than the weights
        ahead = replay.windows_read if replay else 0
        stream.go_on(counts | {"windows_read": max(counts["windows_read"], ahead)})
    return stream


def _buffer(spec: TrainSpec) -> int:
    """How many positions are read before the first step; fewer where the replayed ones do the mixing."""
    return max(spec.buffer_size // 4, spec.batch_size) if spec.replay else spec.buffer_size


def _examples(spec: TrainSpec) -> int:
    """How many batches to look at before the weights are set."""
    positions = 1 if spec.start_from is None else min(_EXAMPLES * spec.d_sae, _MOST_EXAMPLES)
    return math.ceil(positions / spec.batch_size)


def _trainer(spec: TrainSpec, examples: list[Tensor], d_in: int, resume: Path | None) -> SAETrainer:
    torch.manual_seed(spec.seed)
    if not examples:
        raise Unavailable(
            f"The text holds fewer than {spec.batch_size:,} usable tokens, not enough for one step. "
            "Add text, or choose a smaller batch."
        )
    device = str(examples[0].device)
    cfg = BatchTopKTrainingSAEConfig(
        d_in=d_in, d_sae=spec.d_sae, k=spec.k, device=device, apply_b_dec_to_input=True
    )
    # where the sparse products are known to be fast
    sae = (SparseStepSAE if device == "cpu" else BatchTopKTrainingSAE)(cfg)
    sae.b_dec.data = examples[0].mean(dim=0).clone()
    if spec.start_from is not None and resume is None:
        take_over(sae, Path(spec.start_from), torch.cat(examples))
    sae.cfg.metadata.model_name = spec.model_name
    sae.cfg.metadata.hook_name = spec.hook_name
    sae.cfg.metadata.context_size = spec.context_size
    sae.cfg.metadata.prepend_bos = False
    steps = spec.tokens // spec.batch_size
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=spec.tokens,
            train_batch_size_samples=spec.batch_size,
            lr=spec.lr,
            lr_end=spec.lr / 10,
            lr_warm_up_steps=min(spec.warm_up_steps, steps // 10),
            lr_decay_steps=int(steps * spec.decay_share),
            dead_feature_window=spec.dead_after_steps,
            device=device,
        ),
        sae,
        iter(()),
    )
    for group in trainer.optimizer.param_groups:
        # one pass over the weights in place of six
        group.update(fused=device == "cpu", foreach=False)
    if resume:
        saved = BatchTopKTrainingSAE.load_from_disk(str(resume / "checkpoint"), device=device)
        sae.load_state_dict(saved.state_dict())
        trainer.load_trainer_state(resume / "checkpoint")
    return trainer


def _steps(
    trainer: SAETrainer, batches: Iterator[Tensor], spec: TrainSpec,
    stream: ActivationStream, workdir: Path,
) -> Iterator[Progress]:  # fmt: skip
    started, at_start = time.monotonic(), trainer.n_training_samples
    last_saved = time.monotonic()
    try:
        while trainer.n_training_samples < spec.tokens:
            batch = _next(batches, trainer, spec)
            output = trainer.step(batch)
            trainer.n_training_steps += 1
            if trainer.n_training_steps % 20 == 0:
                rate = (trainer.n_training_samples - at_start) / (time.monotonic() - started)
                dead = int(trainer.dead_neurons.sum())
                yield Progress(trainer.n_training_samples, _fvu(batch, output.sae_out), dead, rate)
            if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                _save_checkpoint(trainer, stream, workdir)
                last_saved = time.monotonic()
    except (GeneratorExit, KeyboardInterrupt, Unavailable):
        _save_checkpoint(trainer, stream, workdir)
        raise


def _next(batches: Iterator[Tensor], trainer: SAETrainer, spec: TrainSpec) -> Tensor:
    batch = next(batches, None)
    if batch is None:
        raise Unavailable(
            f"The text ended after {trainer.n_training_samples:,} of {spec.tokens:,} tokens. "
            "Add text, or ask for fewer tokens; the checkpoint is kept."
        )
    return batch


@torch.no_grad()
def _fvu(batch: Tensor, reconstruction: Tensor) -> float:
    residual = (batch - reconstruction).square().sum()
    return float(residual / (batch - batch.mean(dim=0)).square().sum())


def _save_checkpoint(trainer: SAETrainer, stream: ActivationStream, workdir: Path) -> None:
    """Write beside, then swap, so that a kill in the middle leaves the older checkpoint whole."""
    fresh, place = workdir / "checkpoint.new", workdir / "checkpoint"
    shutil.rmtree(fresh, ignore_errors=True)
    trainer.sae.save_model(fresh)
    trainer.save_trainer_state(fresh)
    (fresh / "read.json").write_text(json.dumps(stream.counts))
    if stream.replay is not None:
        stream.replay.save(stream.windows_read)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


def _counts(workdir: Path) -> dict[str, int]:
    """What the stream had read at the checkpoint; empty without one."""
    mark = workdir / "checkpoint" / "read.json"
    return json.loads(mark.read_text()) if mark.exists() else {}


def save_inference(sae: BatchTopKTrainingSAE, spec: TrainSpec, folder: Path) -> None:
    """JumpReLU weights in float16 (17 bits of a 4k dictionary are noise) and a config that says so."""
    from safetensors.torch import load_file, save_file

    sae.save_inference_model(folder)
    weights = folder / "sae_weights.safetensors"
    tensors = load_file(weights)
    tensors["threshold"] *= spec.threshold_scale
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, weights)
    config = folder / "cfg.json"
    cfg = json.loads(config.read_text())
    config.write_text(json.dumps({**cfg, "dtype": "float16", "device": "cpu"}, indent=1))
