"""Building a feature atlas: its speed against the bare forward pass, and its memory.

    PYTHONPATH=. python benchmarks/bench_atlas_build.py --rounds 3
    PYTHONPATH=. python benchmarks/bench_atlas_build.py --model gemma-2-2b --d-sae 65536 --device cuda

Speed is of the pass that reads the corpus (tokenising, model, SAE, statistics, commits), a block of windows
a round. Memory is that of a child process for each size, above what its model and SAE take (Linux only).
"""

import ctypes
import gc
import itertools
import multiprocessing
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from sqlite_utils.db import Database

from benchmarks.by_blocks import BLOCK as LATENTS_AT_ONCE
from benchmarks.by_blocks import keep_residuals, read_block
from benchmarks.random_engine import SHAPES, random_corpus, random_engine
from benchmarks.record import environment, in_turn, ratio, report
from sas_core.atlas import build as building
from sas_core.atlas import state
from sas_core.atlas.build import BuildSpec, build
from sas_core.atlas.shipped import CORPUS, DEMO_FOLDER
from sas_core.atlas.windows import BLOCK, Batch, WindowReader, batches
from sas_core.cli.output import note, quiet
from sas_core.model.device import choose_placement
from sas_core.model.hooked import activations_at
from sas_core.model.presets import get_preset, load_engine
from sas_core.model.rows import read_rows
from sas_core.steering.engine import Engine

BUILD, FORWARD, BY_BLOCKS = "build", "forward pass", "128 latents at a time"
_WIDTHS = "4096,16384,65536,262144"
_MEMORY_K, _LONGER = 5, 4
_STATUS = Path("/proc/self/status")
_MIB = 2**20
_M_MMAP_THRESHOLD = -3


def main(
    model: Annotated[str, typer.Option(help=f"demo, or random weights: {', '.join(SHAPES)}.")] = "demo",
    d_sae: Annotated[int, typer.Option(min=128, help="Latents, where the weights are random.")] = 65_536,
    corpus: Annotated[Path, typer.Option(help="Text for the demo's model.")] = DEMO_FOLDER / CORPUS,
    window: Annotated[int, typer.Option(min=8, help="Tokens of a window.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Counted rounds: blocks of 32 windows.")] = 3,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of 128 latents that are timed.")] = 2,
    widths: Annotated[str, typer.Option(help="Latents of the SAEs whose memory is measured.")] = _WIDTHS,
    memory_tokens: Annotated[int, typer.Option(min=0, help="Tokens read for that; 0 leaves it out.")] = 8_192,
    device: Annotated[str, typer.Option()] = "auto",
    dtype: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Measure memory, then the arms in turn, and print a table and a JSON line."""
    with quiet(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # first, while this process has no threads that a forked child would miss
        memory = _memory(folder, widths, memory_tokens) if memory_tokens and _STATUS.exists() else []
        placed = choose_placement(device, dtype)
        where = environment(placed.device, placed.dtype)
        if model == "demo":
            engine = load_engine(get_preset("demo"), device=device, dtype=dtype)
        else:
            tokens = (rounds + 2) * BLOCK * window * 2
            corpus = random_corpus(folder / "corpus.jsonl", SHAPES[model].vocabulary, tokens)
            engine = random_engine(SHAPES[model], d_sae, placed)
        speed = _speed(engine, BuildSpec(str(corpus), window=window), folder, rounds, blocks)
    document = {
        "benchmark": "atlas_build", "model": model, "d_sae": engine.dictionary.identity.d_sae,
        "window": window, "rounds": rounds, "speed": speed, "memory": memory, "environment": where,
    }  # fmt: skip
    rows = [(name, f"{rate:,.0f} tokens/s", "") for name, rate in speed["tokens_per_second"].items()]
    rows += [(name, f"{value:.2f} x", "") for name, value in speed["ratios"].items()]
    rows += [
        (
            f"memory, {m['d_sae']:,} latents, {m['tokens']:,} tokens",
            f"{m['above'] / _MIB:,.0f} MiB",
            f"{m['contexts']:,} contexts held, state {m['state'] / _MIB:,.0f} MiB",
        )
        for m in memory
    ]
    title = f"Building an atlas of {engine.dictionary.identity.d_sae:,} latents, {rounds} rounds"
    report(title, ("what", "found", "beside"), rows, document)


def _speed(engine: Engine, spec: BuildSpec, folder: Path, rounds: int, blocks: int) -> dict[str, Any]:
    """The build, a block of windows at a time, in turn with the bare pass; then by blocks of latents."""
    read = list(itertools.islice(_blocks(engine, spec), rounds + 1))
    tokens = [sum(len(w.ids) for batch in block for w in batch.windows) for block in read]
    waiting = iter(read)
    with closing(build(engine, spec, folder / "atlas.db")) as running:
        arms: dict[str, Callable[[], object]] = {
            BUILD: lambda: next(running),
            FORWARD: lambda: [_forward(engine, batch) for batch in next(waiting)],
        }
        seconds = in_turn(arms, rounds)
    seconds[BY_BLOCKS] = [_by_blocks(engine, read[1:], spec, sum(seconds[FORWARD]), blocks)]
    counted = sum(tokens[1:])
    return {
        "tokens": tokens[1:],
        "seconds": seconds,
        "tokens_per_second": {name: counted / sum(took) for name, took in seconds.items()},
        "ratios": {
            "speed of the build / of the forward pass": ratio(seconds, FORWARD, BUILD),
            "128 latents at a time / the build, time": seconds[BY_BLOCKS][0] / sum(seconds[BUILD]),
        },
        "device_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        "blocks_timed": blocks,
        "blocks_in_all": engine.dictionary.identity.d_sae / LATENTS_AT_ONCE,
    }  # fmt: skip


def _blocks(engine: Engine, spec: BuildSpec) -> Iterator[list[Batch]]:
    """The batches that a build makes, a list for each block."""
    device = engine.placement.device.partition(":")[0]
    bos = engine.turns.tokenizer.bos_token_id if engine.dictionary.prepend_bos else None
    windows = iter(WindowReader(read_rows(spec.corpus), engine.turns.tokenizer, spec.window, bos=bos))
    while block := list(itertools.islice(windows, BLOCK)):
        yield list(batches(block, building._BATCH_TOKENS.get(device, building._BATCH_TOKENS["cpu"])))


def _forward(engine: Engine, batch: Batch) -> None:
    activations_at(engine.model, engine.hook_name, batch.tokens.to(engine.model.cfg.device))


def _by_blocks(
    engine: Engine, read: list[list[Batch]], spec: BuildSpec, forward: float, blocks: int
) -> float:
    """Seconds for all latents: the forward pass, and the median of some blocks times their number."""
    kept = keep_residuals(engine, [batch for block in read for batch in block], spec.window)
    d_sae = engine.dictionary.identity.d_sae
    firsts = itertools.cycle(range(0, d_sae - LATENTS_AT_ONCE + 1, LATENTS_AT_ONCE))
    arm = {BY_BLOCKS: lambda: read_block(engine, kept, next(firsts), spec.top_k)}
    one = statistics.median(in_turn(arm, blocks)[BY_BLOCKS])
    note(
        f"{BY_BLOCKS}: {blocks} blocks timed, {d_sae / LATENTS_AT_ONCE:.0f} in all; the rest is extrapolated."
    )
    return forward + one * d_sae / LATENTS_AT_ONCE


def _memory(folder: Path, widths: str, tokens: int) -> list[dict[str, int]]:
    """Each width over the same text, and the narrowest over a longer one."""
    sizes = [(int(width), tokens) for width in widths.split(",")]
    sizes.insert(1, (sizes[0][0], _LONGER * tokens))
    return [_in_child(partial(_build_measured, folder, *size)) for size in sizes]


def _in_child(work: Callable[[], dict[str, int]]) -> dict[str, int]:
    """A forked child has imported everything already and gives all its memory back."""
    there, here = multiprocessing.Pipe(duplex=False)

    def measure() -> None:
        _give_back_what_is_freed()
        here.send(work())

    child = multiprocessing.get_context("fork").Process(target=measure)
    child.start()
    here.close()
    try:
        return there.recv()
    except EOFError:
        raise SystemExit("The child that measured memory died; is there enough of it?") from None
    finally:
        child.join()


def _give_back_what_is_freed() -> None:
    """Else glibc keeps it in pieces, a few hundred MB in time, which would be taken for the build's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**17)


def _build_measured(folder: Path, d_sae: int, tokens: int) -> dict[str, int]:
    shape = SHAPES["tiny"]
    corpus = random_corpus(folder / f"{d_sae}-{tokens}.jsonl", shape.vocabulary, tokens)
    engine = random_engine(shape, d_sae, choose_placement("cpu", "float32"))
    gc.collect()
    loaded = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    path = folder / f"{d_sae}-{tokens}.db"
    with closing(build(engine, BuildSpec(str(corpus), top_k=_MEMORY_K), path)) as running:
        # up to the first step that writes tables: the state was saved once by then
        for _ in itertools.takewhile(lambda step: step.stage == "reading", running):
            pass
    above = _status("VmHWM") - loaded
    with closing(sqlite3.connect(path)) as connection:
        arrays = state.load(Database(connection))
    return {
        "d_sae": d_sae, "tokens": tokens, "loaded": loaded, "above": above,
        "contexts": len(arrays["top.latent"]) + len(arrays["sample.latent"]),
        "state": sum(array.nbytes for array in arrays.values()),
    }  # fmt: skip


def _status(name: str) -> int:
    """Bytes of a line of this process's status: VmRSS now, VmHWM at most since it was reset."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    typer.run(main)
