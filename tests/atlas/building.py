"""Atlases of a tiny model, built to the end or stopped; and what dense activations say they must hold."""

from collections.abc import Iterator

import numpy as np
import torch

from sas_core.atlas.build import Progress, build
from sas_core.atlas.windows import BLOCK, Window, batches
from sas_core.model.dictionary import Dictionary
from sas_core.model.hooked import activations_at
from sas_core.model.rows import encode_row
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import Expected, brute_force

WINDOW, TOP_K, SEED = 16, 5, 7
TEXTS = (
    "The train was late again this morning, so we walked along the river.",
    "What is the sea like in winter? The sun is low and the days are kind.",
    "In most years the harvest begins in early autumn.",
)


def finished(*args, **options) -> Progress:
    """Build to the end; the last progress."""
    *_, last = build(*args, **options)
    return last


def stop_after(steps: int, *args, **options) -> None:
    running = build(*args, **options)
    for _ in range(steps):
        next(running)
    running.close()


def encode_text(engine: Engine, text: str) -> list[int]:
    return engine.turns.tokenizer.encode(text, add_special_tokens=False)


def with_dictionary(engine: Engine, dictionary: Dictionary) -> Engine:
    return Engine(engine.model, dictionary, engine.placement, engine.name)


def pieces(engine: Engine) -> list[str]:
    return [engine.turns.tokenizer.decode([token]) for token in range(engine.model.cfg.d_vocab)]


def cut(engine: Engine, rows: list[dict], bos: int | None = None, size: int = WINDOW) -> list[Window]:
    """The windows of a corpus, cut by hand."""
    windows = []
    for document, row in enumerate(rows):
        ids, keep = encode_row(row, engine.turns.tokenizer)
        room = size - (bos is not None)
        for offset in range(0, len(ids), room):
            part, mask = ids[offset : offset + room], keep[offset : offset + room]
            if bos is not None:
                part, mask = [bos, *part], [False, *mask]
            windows.append(Window(len(windows), document, offset, np.array(part), np.array(mask)))
    return windows


def dense_in_batches(engine: Engine, windows: list[Window]) -> Iterator[tuple[Window, np.ndarray, list[int]]]:
    """Of each window its latents `[pos, d_sae]` and excluded positions, from the passes a build makes."""
    for start in range(0, len(windows), BLOCK):
        for batch in batches(windows[start : start + BLOCK], 2_048):
            held = activations_at(engine.model, engine.hook_name, batch.tokens)
            norms = held.norm(dim=-1).numpy()
            out = [
                [p for p in range(len(w.ids)) if not w.keep[p] or norms[row, p] > 3 * engine.typical_norm]
                for row, w in enumerate(batch.windows)
            ]
            counted = torch.zeros(held.shape[:2], dtype=torch.bool)
            for row, w in enumerate(batch.windows):
                counted[row, [p for p in range(len(w.ids)) if p not in out[row]]] = True
            codes = torch.zeros(*held.shape[:2], engine.dictionary.identity.d_sae)
            codes[counted] = engine.dictionary.encode(held[counted])
            for row, w in enumerate(batch.windows):
                yield w, codes[row, : len(w.ids)].numpy(), out[row]


def expect(engine: Engine, windows: list[Window]) -> Expected:
    read = sorted(dense_in_batches(engine, windows), key=lambda one: one[0].number)
    return brute_force(
        [w.ids.tolist() for w, _, _ in read], [w.document for w, _, _ in read],
        [w.offset for w, _, _ in read], [out for _, _, out in read], [codes for _, codes, _ in read],
        TOP_K, SEED,
    )  # fmt: skip
