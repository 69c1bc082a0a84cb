"""The figures of `measure-sae` against sae-lens's own evaluation, on the same windows of token ids.

    PYTHONPATH=. python benchmarks/check_sae_lens_evals.py --text prose=FILE --text chat=FILE --windows 12

sae-lens leaves positions out by token id alone, so sinks, the template's preamble and a window's first
position count there. "At our positions" is its own code at our positions: the reconstruction lets the others
pass where cross-entropy and KL are taken (over all positions, as ours), and where L0, variance and error are
taken the others get an id that it ignores. Its zero ablation takes every position, so that row is not held
against ours. "By default" is what it says by itself: special tokens ignored, everything else counted, and
cross-entropy and KL averaged over that too. No test runs this on the demo.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
import typer
from jaxtyping import Bool, Int
from sae_lens.evals import get_downstream_reconstruction_metrics, get_sparsity_and_variance_metrics
from sae_lens.training.activation_scaler import ActivationScaler
from sae_lens.util import get_special_token_ids
from torch import Tensor

from benchmarks.record import environment
from sas_core.cli.measure import named_text
from sas_core.cli.output import quiet, show, show_json, table
from sas_core.dictionary.corpus import Window, read_held_out, window_batches
from sas_core.dictionary.measure import mean_and_typical, measure
from sas_core.model.hooked import activations_at
from sas_core.model.presets import get_preset, load_engine
from sas_core.model.sinks import is_sink
from sas_core.steering.engine import Engine

FIGURES = {
    "ce_clean": "CE as it is, nats",
    "ce_spliced": "CE spliced in",
    "ce_zero": "CE zero-ablated",
    "kl": "KL, nats",
    "l0": "L0",
    "explained_variance": "explained variance",
    "mse": "squared error",
}
_NOT_HELD = ("ce_zero",)
_MOST_APART = 1e-3
_ROWS = 4

_Batch = tuple[Int[Tensor, "row pos"], Bool[Tensor, "row pos"]]
"""Token ids and the positions that `measure-sae` reads and splices."""


def main(
    text: Annotated[list[str], typer.Option(metavar="NAME=PATH", help="Held-out text; may be repeated.")],
    windows: Annotated[int, typer.Option(min=1, help="Windows of text for each kind.")] = 12,
    context_size: Annotated[int, typer.Option(min=2, help="Tokens in a window.")] = 256,
    preset: Annotated[str, typer.Option(help="Model and SAE.")] = "demo",
    sae_path: Annotated[str | None, typer.Option(help="Another SAE, as sae-lens saves it.")] = None,
) -> None:
    """Print both programs' figures and a JSON line; leave with 1 where they differ by more than 0.1 %."""
    with quiet():
        engine = load_engine(get_preset(preset), device="cpu", dtype="float32", sae_path=sae_path)
        kinds = read_held_out(dict(map(named_text, text)), engine.turns.tokenizer, windows, context_size)
        found = {kind: compared(engine, taken) for kind, taken in kinds.items()}
    columns = ("text", "figure", "ours", "sae-lens at our positions", "apart", "sae-lens by default")
    rows = [(kind, *row) for kind, figures in found.items() for row in _rows(figures)]
    show(table(columns, rows, right=columns[2:]))
    identity = engine.dictionary.identity
    show_json(
        {"check": "sae-lens evals", "d_sae": identity.d_sae, "sae_sha256": identity.sha256, "results": found,
         "environment": environment("cpu", "float32")}
    )  # fmt: skip
    if any(apart(figures, name) > _MOST_APART for figures in found.values() for name in FIGURES):
        raise typer.Exit(1)


def compared(engine: Engine, taken: Sequence[Window]) -> dict[str, dict[str, float]]:
    """`ours`, `theirs` at our positions and `default`, by the names of `FIGURES`."""
    batches = list(_batches(engine, taken))
    return {
        "ours": _ours(engine, taken),
        "theirs": _at_our_positions(engine, batches),
        "default": _by_default(engine, batches),
    }


def _batches(engine: Engine, taken: Sequence[Window]) -> Iterator[_Batch]:
    """Batches of equal size, because sae-lens averages what it is given, with the positions we keep."""
    model, hook = engine.model, engine.hook_name
    stacked = list(window_batches(iter(taken), math.gcd(len(taken), _ROWS)))
    _, typical = mean_and_typical(model, hook, stacked)
    for ids, keep in stacked:
        yield ids, keep & ~is_sink(activations_at(model, hook, ids), typical)


def _ours(engine: Engine, taken: Sequence[Window]) -> dict[str, float]:
    m = measure(engine.model, engine.dictionary, iter(taken), rows=math.gcd(len(taken), _ROWS))
    return {
        "ce_clean": m.ce_clean, "ce_spliced": m.ce_spliced, "ce_zero": m.ce_zero_ablated, "kl": m.kl,
        "l0": m.l0, "explained_variance": 1.0 - m.fvu, "mse": m.mse,
    }  # fmt: skip


def _at_our_positions(engine: Engine, batches: Sequence[_Batch]) -> dict[str, float]:
    store = _Store(batches)
    loss = _downstream(engine, _LetPass(engine.dictionary.sae, store), store, None)
    d_vocab = engine.model.cfg.d_vocab
    marked = [(torch.where(kept, ids, ids + d_vocab), kept) for ids, kept in batches]
    ignored = sorted({token for ids, _ in marked for token in ids.flatten().tolist() if token >= d_vocab})
    return loss | _spread(engine, _Store(marked), ignored)


def _by_default(engine: Engine, batches: Sequence[_Batch]) -> dict[str, float]:
    special = sorted(get_special_token_ids(engine.turns.tokenizer))
    loss = _downstream(engine, engine.dictionary.sae, _Store(batches), special)
    return loss | _spread(engine, _Store(batches), special)


def _downstream(engine: Engine, sae: Any, store: "_Store", ignored: Sequence[int] | None) -> dict[str, float]:
    said = get_downstream_reconstruction_metrics(
        sae, _Read(engine.model), store, ActivationScaler(), compute_kl=True, compute_ce_loss=True,
        n_batches=len(store), eval_batch_size_prompts=store.rows, ignore_tokens=ignored,
    )  # fmt: skip
    return {
        "ce_clean": said["ce_loss_without_sae"], "ce_spliced": said["ce_loss_with_sae"],
        "ce_zero": said["ce_loss_with_ablation"], "kl": said["kl_div_with_sae"],
    }  # fmt: skip


def _spread(engine: Engine, store: "_Store", ignored: Sequence[int]) -> dict[str, float]:
    said, _ = get_sparsity_and_variance_metrics(
        engine.dictionary.sae, _Read(engine.model), store, ActivationScaler(), n_batches=len(store),
        compute_l2_norms=False, compute_sparsity_metrics=True, compute_variance_metrics=True,
        compute_featurewise_density_statistics=True, eval_batch_size_prompts=store.rows, model_kwargs={},
        ignore_tokens=ignored,
    )  # fmt: skip
    return {name: said[name] for name in ("l0", "explained_variance", "mse")}


class _Store:
    """What sae-lens asks for tokens; `kept` belongs to the latest batch."""

    def __init__(self, batches: Sequence[_Batch]) -> None:
        self._batches, self._next = batches, iter(batches)
        self.rows = len(batches[0][0])
        self.kept = batches[0][1]

    def __len__(self) -> int:
        return len(self._batches)

    def get_batch_tokens(self, rows: int) -> Int[Tensor, "row pos"]:
        ids, self.kept = next(self._next)
        return ids


class _LetPass:
    """An SAE that rebuilds kept positions and lets the others pass as they are."""

    def __init__(self, sae: Any, store: _Store) -> None:
        self._sae, self._store = sae, store
        self.cfg, self.device = sae.cfg, sae.device

    def encode(self, x: Tensor) -> Tensor:
        self._x = x
        return self._sae.encode(x)

    def decode(self, codes: Tensor) -> Tensor:
        return torch.where(self._store.kept[..., None], self._sae.decode(codes), self._x)


class _Read:
    """The model as we call it, with a whole attention mask; a marked id is read as its token."""

    def __init__(self, model: Any) -> None:
        self._model, self.tokenizer = model, model.tokenizer

    def __call__(self, ids: Tensor, **options: Any) -> Any:
        return self._model(**self._asked(ids), **options)

    def run_with_hooks(self, ids: Tensor, **options: Any) -> Any:
        return self._model.run_with_hooks(**self._asked(ids), **options)

    def run_with_cache(self, ids: Tensor, **options: Any) -> Any:
        return self._model.run_with_cache(**self._asked(ids), **options)

    def _asked(self, ids: Tensor) -> dict[str, Tensor]:
        return {"input": ids % self._model.cfg.d_vocab, "attention_mask": torch.ones_like(ids)}


def apart(figures: dict[str, dict[str, float]], name: str) -> float:
    """How far the two are from each other, as a share of ours; 0 for a figure that is not held against it."""
    ours, theirs = figures["ours"][name], figures["theirs"][name]
    return 0.0 if name in _NOT_HELD else abs(ours - theirs) / max(abs(ours), 1e-9)


def _rows(figures: dict[str, dict[str, float]]) -> Iterator[tuple[str, ...]]:
    for name, title in FIGURES.items():
        ours, theirs, default = (f"{figures[arm][name]:.4f}" for arm in ("ours", "theirs", "default"))
        yield title, ours, theirs, "" if name in _NOT_HELD else f"{apart(figures, name):.1e}", default


if __name__ == "__main__":
    typer.run(main)
