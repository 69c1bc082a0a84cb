"""The card says what the SAE was made of, and every measure beside its kind of text."""

import json

from sas_core.dictionary.card import write_card
from sas_core.dictionary.measures import Measures, density_counts

SPEC = {
    "model_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "tokens": 3_000_000, "d_sae": 96, "k": 8.0,
    "sources": [{"name": "books.jsonl", "weight": 2.0}], "batch_size": 1024, "lr": 4e-4, "decay_share": 0.25,
    "seed": 1,
}  # fmt: skip


def card(folder, measures=None, **spec) -> str:
    training = {"spec": SPEC | spec, "positions_kept": 10, "sinks_dropped": 0, "windows": 3}
    write_card(folder, training, measures or {})
    written = json.loads((folder / "card.json").read_text())
    assert written == {"training": training, "measures": measures or {}}
    return (folder / "README.md").read_text()


def test_replays_and_the_start_are_said(tmp_path):
    assert "3,000,000 activations, 3 of 4 of them replayed, begun from the SAE `narrow`, batch" in card(
        tmp_path, replay=3, start_from="narrow"
    )


def test_scaled_thresholds_are_said(tmp_path):
    assert "in float16, its thresholds times 0.95; load" in card(tmp_path, threshold_scale=0.95)
    assert "in float16; load" in card(tmp_path, threshold_scale=1.0)


def test_a_plain_run_says_neither(tmp_path):
    assert "3,000,000 activations, batch 1,024, learning rate 0.0004" in card(tmp_path, replay=0)
    assert "3,000,000 activations, batch" in card(tmp_path)


def test_each_kind_of_text_has_its_row_and_its_column_of_densities(tmp_path):
    fired = {"prose": [0, 1, 50], "chat": [0, 0, 100]}
    measures = {
        kind: Measures(
            100, 2, 0.125, 9.5, 8.0, n.count(0), n.count(0) / 3, 3.0, 3.1, 6.0, 9.0, 0.07,
            density_counts(n, 100),
        ).as_dict()
        for kind, n in fired.items()
    }  # fmt: skip
    page = card(tmp_path, measures)
    assert (
        "| prose | 100 | 0.125 | 8.0 | 0.100 (3.000 to 3.100) | 0.070 | 0.983 | 0.967 | 1 (33.3%) |" in page
    )
    table = page[page.index("| share of positions") :].splitlines()
    assert table == [
        "| share of positions | prose | chat |", "| --- | --- | --- |", "| never | 1 | 2 |",
        "| 10^-2 to 10^-1.5 | 1 | 0 |", "| 10^-0.5 to 10^0 | 1 | 1 |",
    ]  # fmt: skip


def test_an_sae_that_was_not_measured_says_so(tmp_path):
    assert card(tmp_path).endswith("Not measured on held-out text.\n")
