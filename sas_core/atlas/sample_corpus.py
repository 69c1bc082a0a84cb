"""The demo atlas's corpus, written by the demo model: `python -m sas_core.atlas.sample_corpus --out FILE`.

Batches are seeded one by one and written whole and in order, so that a run that was stopped goes on where the
file ends and leaves the same rows as one run. How far it is stands beside the file, in `FILE.state.json`.
One run keeps one core busy; several seeds, each written to its own file, use several.
"""

import argparse
import functools
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sas_core.atlas.corpus_prompts import batch
from sas_core.atlas.corpus_rows import Sampled, Writer
from sas_core.errors import BadInput, SteerscopeError

Batches = Callable[[int], Iterator[Sampled]]
"""All batches from one number on, in order and without end."""


@dataclass(frozen=True)
class State:
    """How far a corpus is: whole batches, their rows, tokens and bytes, and what was changed or left out."""

    seed: int
    size: int
    batches: int = 0
    rows: int = 0
    tokens: int = 0
    bytes: int = 0
    cut: int = 0
    short: int = 0
    duplicate: int = 0


def write_corpus(
    out: Path, tokens: int, state: State, batches: Batches, tell: Callable[[str], None]
) -> State:
    """Append rows to `out` until it holds `tokens` tokens; `state` names seed and batch size.

    Raises:
        BadInput: `out` is not a corpus of this seed and batch size, or is shorter than its state says.
    """
    state, seen = _resumed(out, state)
    start, began = state.tokens, time.monotonic()
    more = batches(state.batches)
    with out.open("ab") as file:
        while state.tokens < tokens:
            sampled = next(more)
            lines, counted = _new_lines(sampled, seen)
            data = "".join(lines).encode()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            state = _after(state, sampled, len(lines), counted, len(data))
            _keep(out, state)
            tell(_progress(state, tokens, (state.tokens - start) / (time.monotonic() - began)))
    return state


def _new_lines(sampled: Sampled, seen: set[str]) -> tuple[list[str], int]:
    """Rows not written before as lines, and their tokens; `seen` learns them."""
    lines, tokens = [], 0
    for row, length in zip(sampled.rows, sampled.tokens, strict=True):
        line = json.dumps(row, ensure_ascii=False) + "\n"
        if line not in seen:
            seen.add(line)
            lines.append(line)
            tokens += length
    return lines, tokens


def _after(state: State, sampled: Sampled, rows: int, tokens: int, size: int) -> State:
    return replace(
        state, batches=sampled.number + 1, rows=state.rows + rows, tokens=state.tokens + tokens,
        bytes=state.bytes + size, cut=state.cut + sampled.counts["cut"],
        short=state.short + sampled.counts["short"],
        duplicate=state.duplicate + len(sampled.rows) - rows,
    )  # fmt: skip


def _resumed(out: Path, fresh: State) -> tuple[State, set[str]]:
    """The state of an earlier run and its rows, the file cut back to its last whole batch."""
    place = _state_file(out)
    if not place.exists():
        if out.exists() and out.stat().st_size:
            raise BadInput(f"{out} exists and was not begun here. Name a new file, or delete this one.")
        return fresh, set()
    state = State(**json.loads(place.read_text()))
    if (state.seed, state.size) != (fresh.seed, fresh.size):
        raise BadInput(
            f"{out} was begun with seed {state.seed} and batches of {state.size}. "
            "Go on with these, or name a new file."
        )
    if not out.exists() or out.stat().st_size < state.bytes:
        raise BadInput(f"{out} is shorter than {place.name} says. Delete both and start again.")
    os.truncate(out, state.bytes)
    with out.open(encoding="utf-8", newline="\n") as file:
        return state, set(file)


def _keep(out: Path, state: State) -> None:
    part = out.with_name(out.name + ".state.part")
    part.write_text(json.dumps(asdict(state)) + "\n")
    part.replace(_state_file(out))


def _state_file(out: Path) -> Path:
    return out.with_name(out.name + ".state.json")


def _progress(state: State, wanted: int, rate: float) -> str:
    left = max(wanted - state.tokens, 0) / max(rate, 1e-9) / 60
    return (
        f"batch {state.batches}: {state.tokens:,} of {wanted:,} tokens in {state.rows:,} rows, "
        f"{rate:.0f} tokens/s, {left:.0f} min left; "
        f"loops cut {state.cut}, short {state.short}, duplicates {state.duplicate}"
    )


def demo_batches(seed: int, size: int, start: int) -> Iterator[Sampled]:
    """Batches by the demo model on one thread, so that the number of cores does not change a row."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sas_core.model.demo import ensure_demo

    torch.set_num_threads(1)
    folder = ensure_demo()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    writer = Writer(model, AutoTokenizer.from_pretrained(folder), seed)
    for number in itertools.count(start):
        yield writer.sample(batch(seed, number, size))


def main(arguments: list[str] | None = None) -> int:
    """Sample a corpus from the demo model; 0 done, 2 with the reason on stderr, 130 when stopped."""
    parser = argparse.ArgumentParser(prog="python -m sas_core.atlas.sample_corpus", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSONL file, begun or continued")
    parser.add_argument("--tokens", type=int, default=900_000, help="stop after so many tokens of text")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other texts")
    parser.add_argument("--batch", type=int, default=48, help="rows sampled together")
    asked = parser.parse_args(arguments)
    try:
        if asked.tokens < 1 or asked.batch < 1:
            raise BadInput("--tokens and --batch are counts; give 1 or more.")
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        batches = functools.partial(demo_batches, asked.seed, asked.batch)
        write_corpus(asked.out, asked.tokens, State(asked.seed, asked.batch), batches, _tell)
    except SteerscopeError as error:
        _tell(str(error))
        return 2
    except OSError as error:
        _tell(f"{asked.out} cannot be written ({error.strerror or error}). Name a file elsewhere.")
        return 2
    except KeyboardInterrupt:
        _tell("Stopped; the same command goes on from there.")
        return 130
    return 0


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
