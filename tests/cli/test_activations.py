"""`activations` prints the SAE's own codes of the model's own residual, token by token."""

from pathlib import Path
from typing import Any

import torch

from sas_core.steering.engine import Engine
from tests.cli.conftest import Run, sparse_sae
from tests.helpers import build_sae

TEXT = "What is the sea like in winter?"


def codes(model: Any, ids: list[int]) -> torch.Tensor:
    """`[pos, d_sae]` by transformer-lens's own cache and sae-lens's own encode."""
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([ids]), prepend_bos=False)
        return sparse_sae().encode(cache["blocks.1.hook_resid_post"][0])


def dense(rows: list[dict[str, Any]], d_sae: int) -> torch.Tensor:
    found = torch.zeros(len(rows), d_sae)
    for at, row in enumerate(rows):
        for index, value in row["features"]:
            found[at, index] = value
    return found


def test_the_features_are_all_non_zero_codes_of_the_sae(
    cli: Run, tiny: list[object], llama: Any, engine: Engine
) -> None:
    rows = cli("activations", "--text", TEXT, "--json", *tiny).json
    ids = engine.turns.tokenizer.encode(TEXT, add_special_tokens=False)
    assert [row["token_id"] for row in rows] == ids
    assert "".join(row["token"] for row in rows) == TEXT
    wanted = codes(llama, ids)
    torch.testing.assert_close(dense(rows, wanted.shape[-1]), wanted, atol=1e-5, rtol=1e-4)
    assert [len(row["features"]) for row in rows] == wanted.count_nonzero(dim=-1).tolist()
    assert 1 < wanted.count_nonzero(dim=-1).max() < wanted.shape[-1]
    for row in rows:
        values = [value for _, value in row["features"]]
        assert values == sorted(values, reverse=True)


def test_top_keeps_the_strongest(cli: Run, tiny: list[object]) -> None:
    whole = cli("activations", "--text", TEXT, "--json", *tiny).json
    top = cli("activations", "--text", TEXT, "--top", "2", "--json", *tiny).json
    assert [row["features"] for row in top] == [row["features"][:2] for row in whole]


def test_as_a_chat_the_template_is_there_and_its_special_tokens_are_marked(
    cli: Run, tiny: list[object], engine: Engine
) -> None:
    rows = cli("activations", "--text", TEXT, "--chat", "--json", *tiny).json
    assert [row["token_id"] for row in rows] == list(engine.turns.encode(TEXT, chat=True).ids)
    marked = [row["token_id"] in engine.turns.special_ids for row in rows]
    assert [row["excluded"] == "special token" for row in rows] == marked and any(marked)


def test_an_attention_sink_is_marked_as_one(cli: Run, gpt2_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gpt2_folder)
    # only the first position is made as long as a sink
    model.transformer.wpe.weight.data[0] *= 400
    model.save_pretrained(tmp_path / "sunk")
    AutoTokenizer.from_pretrained(gpt2_folder).save_pretrained(tmp_path / "sunk")
    build_sae("jumprelu").save_model(tmp_path / "sae")
    rows = cli("activations", "--text", TEXT, "--json", "--model", tmp_path / "sunk", "--sae-path",
               tmp_path / "sae").json  # fmt: skip
    assert [row["excluded"] for row in rows] == ["attention sink", *[None] * (len(rows) - 1)]


def test_the_table_shows_every_token_and_reads_none_as_markup(cli: Run, tiny: list[object]) -> None:
    ran = cli("activations", "--text", "-", "--top", "1", *tiny, stdin="[red]sea[/red]\n")
    rows = cli("activations", "--text", "[red]sea[/red]", "--json", *tiny).json
    assert ran.code == 0 and "blocks.1.hook_resid_post" in ran.err
    assert all(repr(row["token"]) in ran.out for row in rows)
