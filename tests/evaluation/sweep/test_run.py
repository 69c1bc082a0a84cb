"""A sweep's numbers against the plain loop, and against the same sweep stopped, killed and gone on with."""

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sas_core.errors import BadInput
from sas_core.evaluation.margin import neutral_texts
from sas_core.evaluation.sweep.book import SweepBook
from sas_core.evaluation.sweep.cells import Setting, cells_of
from sas_core.evaluation.sweep.edits import columns_of
from sas_core.evaluation.sweep.run import run_sweep, sweep_key
from sas_core.evaluation.sweep.sources import exchanged, read_sources
from sas_core.evaluation.sweep.spec import SweepSpec
from sas_core.model.dictionary import load_local
from sas_core.steering.controls import random_direction
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Lane, Sampling, Steering, Term
from sas_core.vectors.build import steering_of
from tests.evaluation.plain import plain_margins, plain_score
from tests.evaluation.sweep.killed import run
from tests.helpers import build_sae, slow_edit

SPEC = SweepSpec(
    name="a", vector="v", measures=("margin", "price"), axes={"scale": (-2.0, 3.0)},
    controls=("random-matched", "dense"), seeds=2,
)  # fmt: skip
KILLED = "import sys\nfrom tests.evaluation.sweep.killed import run\nrun(*sys.argv[1:])"
Change = Callable[[torch.Tensor], torch.Tensor]


def asked(**changed: Any) -> SweepSpec:
    return SweepSpec(**{**SPEC.model_dump(), **changed})


def changes(result: Any, figure: str = "margin") -> dict[tuple[str, float, bool], float]:
    return {(o.arm, o.scale, o.setting.error_term): o.change for o in result.of(figure)}


def numbers(book: SweepBook, key: str) -> str:
    """Every outcome to the last bit, as text: what is not a number equals nothing."""
    return repr(book.result(key).outcomes)


def returned(steps: Generator[Any, None, Any]) -> Any:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def steered(sae: Any, steering: Steering) -> Change:
    return lambda x: slow_edit(sae, x, steering)


def dense(vector: torch.Tensor) -> Change:
    return lambda x: x + vector


def matched(own: Change, direction: torch.Tensor) -> Change:
    return lambda x: x + (own(x) - x).norm(dim=-1, keepdim=True) * direction


def test_margins_and_prices_of_vector_and_controls_equal_the_plain_loop(
    engine, sweep, material, vector, pairs
):
    result = sweep(SPEC, material)
    base = np.mean(plain_margins(engine, pairs, None))
    sae = engine.dictionary.sae
    total = sum(f.value * sae.W_dec[f.index] for f in vector.features)
    for scale in (-2.0, 3.0):
        own = steered(sae, steering_of(vector, scale))
        random = [matched(own, random_direction(len(total), seed) * np.sign(scale)) for seed in range(2)]
        edits = {"vector": [own], "dense": [dense(scale * total)], "random-matched": random}
        for arm, several in edits.items():
            moved = np.mean([plain_margins(engine, pairs, edit) for edit in several]) - base
            assert changes(result)[arm, scale, True] == pytest.approx(moved, abs=1e-4)
            assert abs(moved) > 0.01
    lost = [plain_score(engine, q, a, None) - plain_score(engine, q, a, own) for q, a in neutral_texts()]
    assert changes(result, "price")["vector", 3.0, True] == pytest.approx(np.mean(lost), abs=1e-4)


def test_without_the_error_term_the_residual_is_what_the_sae_says_of_it(
    engine, sweep, material, vector, pairs
):
    result = sweep(asked(axes={"scale": (2.0,), "error_term": (True, False)}, controls=()), material)
    sae, base = engine.dictionary.sae, np.mean(plain_margins(engine, pairs, None))

    def spoken(scale: float) -> Change:
        def edit(x: torch.Tensor) -> torch.Tensor:
            codes = sae.encode(x)
            for feature in vector.features if scale else ():
                codes[..., feature.index] = (codes[..., feature.index] + scale * feature.value).relu()
            return sae.decode(codes)

        return edit

    for scale in (0.0, 2.0):
        moved = np.mean(plain_margins(engine, pairs, spoken(scale))) - base
        assert changes(result)["vector", scale, False] == pytest.approx(moved, abs=1e-4)
        assert abs(moved) > 0.01
    assert changes(result)["vector", 0.0, True] == 0.0


def test_vectors_are_built_by_the_rule_at_each_setting(engine, sweep, built):
    spec = SweepSpec(
        name="a", behaviour="sea", measures=("margin",), controls=("caa",),
        axes={"scale": (2.0,), "sides": ("both", "positive"), "drop_shared": (False,)},
    )  # fmt: skip
    result = sweep(spec, built)
    sources = returned(read_sources(engine, built, cells_of(built.settle(spec))))
    for outcome in result.of("margin", "all", "vector"):
        values = sources.values(outcome.setting)
        assert outcome.latents == (len(values) if outcome.scale else 0)
        steering = Steering((Term("v", tuple(values), tuple(values.values())),), outcome.scale)
        edit = steered(engine.dictionary.sae, steering) if outcome.scale else None
        wanted = np.mean(plain_margins(engine, built.heldout, edit))
        assert outcome.mean == pytest.approx(wanted, abs=1e-4)
    direction = sources.direction(Setting())
    wanted = np.mean(plain_margins(engine, built.heldout, dense(2.0 * direction)))
    assert result.of("margin", "all", "caa")[0].mean == pytest.approx(wanted, abs=1e-4)


def test_an_empty_vector_leaves_its_cells_unmeasured_and_the_dense_direction_runs(sweep, built):
    axes = {"scale": (0.0, 3.0), "position": ("completion-mean",), "drop_shared": (True,)}
    result = sweep(
        asked(vector=None, behaviour="sea", axes=axes, controls=("caa",), measures=("margin",)), built
    )
    found = {(o.arm, o.scale): o for o in result.of("margin")}
    assert "No latent is left at tau 0.7" in found["vector", 3.0].problem and found["vector", 3.0].count == 0
    assert found["vector", 0.0].count == found["caa", 3.0].count == 3


def test_equal_edits_are_one_column_however_many_cells_ask_for_them(engine, built):
    axes = {
        "scale": (1.0,),
        "drop_shared": (False,),
        "top_k": (None, 400, 500),
        "nonlinearity": ("relu", "none"),
    }
    spec = asked(vector=None, behaviour="sea", axes=axes, controls=("dense",))
    cells = cells_of(built.settle(spec))
    columns = columns_of(engine, cells, returned(read_sources(engine, built, cells)), None, None)
    assert len(cells) == 18
    # unsteered, the vector under each nonlinearity, and one dense sum, which knows no nonlinearity
    assert len(columns.columns) == 4
    assert len({(p.cell.arm, p.cell.scale, p.column) for p in columns.placed}) == 4


def test_a_swapped_half_of_the_labels_leaves_every_activation_where_it_was(engine, built):
    cells = cells_of(built.settle(asked(vector=None, behaviour="sea")))
    before = returned(read_sources(engine, built, cells)).rankings["completion-mean"].collected.codes
    after, latents = exchanged(before, 0), before.active()
    old = np.stack([before.positive.dense(latents), before.negative.dense(latents)])
    new = np.stack([after.positive.dense(latents), after.negative.dense(latents)])
    swapped = [bool((new[:, i] == old[::-1, i]).all()) for i in range(before.n)]
    stayed = [bool((new[:, i] == old[:, i]).all()) for i in range(before.n)]
    assert sum(swapped) == before.n // 2 and sum(stayed) == before.n - before.n // 2


def test_a_control_that_cannot_run_says_why_and_the_others_run(sweep, material):
    result = sweep(asked(controls=("random-latents", "shuffled", "dense")), material)
    problems = {o.arm: o.problem for o in result.of("margin") if o.problem}
    assert "atlas" in problems["random-latents"] and "no labels" in problems["shuffled"]
    assert {o.arm for o in result.of("margin") if o.count} == {"vector", "dense"}


@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_stopped_sweep_goes_on_and_ends_with_the_same_numbers(engine, material, tmp_path, after):
    books = SweepBook(tmp_path / "whole.db"), SweepBook(tmp_path / "parts.db")
    with closing(books[0]) as whole, closing(books[1]) as parts:
        *_, last = run_sweep(engine, SPEC, material, whole)
        going = run_sweep(engine, SPEC, material, parts)
        for _ in range(after):
            next(going)
        going.close()
        assert not parts.result(last.key).complete
        *_, resumed = run_sweep(engine, SPEC, material, parts)
        assert resumed.done == resumed.total == last.total
        assert numbers(parts, last.key) == numbers(whole, last.key)
        (once,) = run_sweep(engine, SPEC, material, parts)
        assert once.done == once.total


def test_a_killed_sweep_goes_on_and_ends_with_the_same_numbers(tmp_path, llama_folder, sae_folder):
    whole, parts = str(tmp_path / "whole.db"), str(tmp_path / "parts.db")
    loaded = [str(llama_folder), str(sae_folder)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *loaded, parts, "5"], capture_output=True, timeout=300
    )
    assert killed.returncode == -9, killed.stderr.decode()
    with closing(SweepBook(tmp_path / "parts.db")) as book:
        (line,) = book.lines()
    assert 0 < line.done < line.total and line.state == "started"
    assert run(*loaded, parts, "0") == line.key == run(*loaded, whole, "0")
    with closing(SweepBook(tmp_path / "parts.db")) as one, closing(SweepBook(tmp_path / "whole.db")) as other:
        assert numbers(one, line.key) == numbers(other, line.key)
        assert one.result(line.key).complete


def test_what_is_written_is_what_the_engine_writes_and_is_scored(engine, book, vector, writing):
    words = {"w": {"plus": ("the", "sea")}}
    text = {"max_new_tokens": 6, "probe": False, "words": words}
    spec = asked(measures=("text",), axes={"scale": (3.0,)}, controls=(), text=text)
    *_, last = run_sweep(engine, spec, replace(writing, text=spec.text), book)
    for prompt in writing.prompts:
        lanes = (Lane("u"), Lane("s", steering_of(vector, 3.0)))
        done = engine.run(Request(prompt, lanes, Sampling(6)))
        for scale, lane in zip((0.0, 3.0), done.lanes, strict=True):
            texts = book.texts(last.key, Setting(), "vector", scale)
            (written,) = [each for each in texts if each.prompt == prompt]
            assert written.text == lane.text
            assert written.scores["length"] == len(lane.token_ids) and "words:w" in written.scores
    result = book.result(last.key)
    assert set(result.figures()) == {"nats", "repeated", "distinct_2", "length", "words:w"}
    assert [o.share > 0 for o in result.of("nats")] == [False, True]


def test_a_system_prompt_is_asked_in_the_steerings_place(engine, sweep, material, pairs):
    system = {"positive": "Praise the weather.", "negative": "Blame the weather."}
    result = sweep(asked(controls=("system",), system=system, measures=("margin",)), material)
    for scale, text in ((1.0, system["positive"]), (-1.0, system["negative"])):
        margins = []
        for pair in pairs.pairs:
            talk = [{"role": "system", "content": text}, {"role": "user", "content": pair.prompt}]
            one, other = (_plain(engine, talk, side) for side in (pair.positive, pair.negative))
            margins.append(one - other)
        (there,) = [o for o in result.of("margin", "all", "system") if o.scale == scale]
        assert there.mean == pytest.approx(np.mean(margins), abs=1e-4)


def _plain(engine: Any, talk: list[dict[str, str]], side: str) -> float:
    before = list(engine.turns.encode(talk).ids)
    more = list(engine.turns.encode_completion(side, chat=True))
    with torch.inference_mode():
        found = engine.model(torch.tensor([before + more]))[0].double().log_softmax(-1)
    return float(np.mean([float(found[len(before) - 1 + i, token]) for i, token in enumerate(more)]))


def test_a_dictionary_that_cannot_be_loaded_here_is_refused(engine, built, book):
    spec = SweepSpec(name="a", behaviour="sea", axes={"sae": ("other/one",)})
    with pytest.raises(BadInput, match=r"axes\.sae"):
        list(run_sweep(engine, spec, built, book))


def test_the_key_is_the_same_under_another_name_and_another_for_other_pairs(engine, material, built):
    renamed = SPEC.model_copy(update={"name": "b"})
    assert sweep_key(engine, SPEC, material) == sweep_key(engine, renamed, material)
    assert sweep_key(engine, SPEC, material) != sweep_key(engine, SPEC, built)


def test_dictionaries_of_several_layers_are_an_axis_and_share_the_model(engine, sweep, built, tmp_path):
    other = tmp_path / "lower"
    build_sae("jumprelu", hook_name="blocks.0.hook_resid_post").save_model(other)
    spec = SweepSpec(
        name="a", behaviour="sea", measures=("margin",), controls=("caa",),
        axes={"scale": (2.0,), "sae": (None, str(other)), "drop_shared": (False,)},
    )  # fmt: skip
    loaded = []

    def load(name: str) -> Engine:
        loaded.append(engine.with_dictionary(load_local(name, "cpu")))
        return loaded[-1]

    result = sweep(spec, built, load=load)
    assert result.complete and result.total == 2 * len(built.heldout)
    lower, queue = loaded[0], engine.queue
    assert lower.hook_name == "blocks.0.hook_resid_post" and lower.queue is queue
    for setting, here in (
        (Setting(drop_shared=False), engine),
        (Setting(sae=str(other), drop_shared=False), lower),
    ):
        cells = cells_of(built.settle(spec))
        values = returned(read_sources(here, built, cells)).values(setting)
        edit = steered(
            here.dictionary.sae, Steering((Term("v", tuple(values), tuple(values.values())),), 2.0)
        )
        (there,) = [o for o in result.of("margin", "all", "vector") if o.scale and o.setting == setting]
        assert there.mean == pytest.approx(np.mean(plain_margins(here, built.heldout, edit)), abs=1e-4)
