"""Lanes edited in one go come out as each would alone, and their receipts too."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import DenseEdit, Edit, SparseEdit
from sas_core.steering.gates import AnswerOnly
from sas_core.steering.hook import SteeredRows
from sas_core.steering.receipt import Meter, Receipt
from sas_core.steering.spec import Steering, Term
from sas_core.steering.together import gather
from tests.helpers import D_MODEL, build_dictionary, build_sae, slow_edit, term

STRIP = tuple(Steering((term({2: 1.5, 7: 0.8, 30: 2.0}),), scale) for scale in (-2.0, -0.5, 0.5, 1.0, 4.0))
OTHER = Steering((term({9: 5.0, 21: 4.0}),), 1.0)
RAW = Steering(STRIP[0].terms, 1.0, "none")
CLAMPED = Steering((Term("c", (2, 7, 30), (1.0, 1.0, 1.0), mode="clamp"),))
GATED = Steering((Term("g", (2, 7, 30), (1.0, 1.0, 1.0), gate=AnswerOnly()),))


def _groups(edits: Sequence[Edit | None]) -> tuple[list[list[int]], list[int]]:
    meters = [None if edit is None else Meter(edit.latents, edit.gates) for edit in edits]
    together, alone = gather(edits, meters)
    return [group.rows.tolist() for group in together], alone


def test_lanes_of_one_vector_are_one_group_and_all_else_is_apart() -> None:
    class Changed(SparseEdit):
        pass

    dictionary, second = build_dictionary("jumprelu"), build_dictionary("jumprelu", seed=6)
    edits: list[Edit | None] = [
        None, SparseEdit(dictionary, STRIP[0]), SparseEdit(dictionary, OTHER),
        SparseEdit(dictionary, STRIP[1]),
        SparseEdit(dictionary, RAW), SparseEdit(second, STRIP[2]), DenseEdit(torch.ones(D_MODEL)),
        SparseEdit(dictionary, CLAMPED), SparseEdit(dictionary, GATED), Changed(dictionary, STRIP[3]),
        SparseEdit(dictionary, STRIP[4]),
    ]  # fmt: skip

    assert _groups(edits) == ([[1, 3, 10], [2], [4], [5]], [6, 7, 8, 9])


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated", "topk"])
def test_a_strip_of_strengths_is_the_published_edit_in_every_lane(
    architecture: str, normalisation: str
) -> None:
    sae = build_sae(architecture, normalize_activations=normalisation)
    dictionary, value = Dictionary(sae), torch.randn(6, 5, D_MODEL)
    edits = [SparseEdit(dictionary, s) for s in STRIP]
    rows = SteeredRows([*edits[:2], None, *edits[2:]], 1e9)

    found = rows(value, None)

    assert torch.equal(found[2], value[2])
    for row, steering in zip((0, 1, 3, 4, 5), STRIP, strict=True):
        torch.testing.assert_close(found[row], slow_edit(sae, value[row], steering), atol=1e-5, rtol=1e-5)


def _run(dictionary: Dictionary, values: Sequence[torch.Tensor], kind: type[SparseEdit]) -> Any:
    rows = SteeredRows([kind(dictionary, s) for s in STRIP], typical_norm=6.0)
    found = []
    for value in values:
        found.append(rows(value, None))
        rows.decoding = True
    return found, [meter.receipt() for meter in rows.meters]


def test_residuals_and_receipts_are_those_of_each_lane_alone_sinks_left_out() -> None:
    class OneByOne(SparseEdit):
        """The same edit, which `gather` must not know."""

    values = [torch.randn(5, 4, D_MODEL), torch.randn(5, 1, D_MODEL), torch.randn(5, 1, D_MODEL)]
    values[0][0, 1] *= 100.0
    values[0][3, :] *= 100.0
    values[1][4, 0] *= 100.0

    found, receipts = _run(build_dictionary("jumprelu"), values, SparseEdit)
    expected, others = _run(build_dictionary("jumprelu"), values, OneByOne)

    for one, other, value in zip(found, expected, values, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        sinks = value.norm(dim=-1) > 24.0
        assert torch.equal(one[sinks], value[sinks])
    assert [r.sinks_left_alone for r in receipts] == [1, 0, 0, 4, 1]
    for receipt, other in zip(receipts, others, strict=True):
        assert _counts(receipt) == _counts(other)
        torch.testing.assert_close(receipt.shares, other.shares, atol=1e-5, rtol=1e-4)
        for one, two in zip(receipt.latents, other.latents, strict=True):
            numbers = [(each.before, each.requested, each.realised) for each in (one, two)]
            torch.testing.assert_close(*numbers, atol=1e-4, rtol=1e-4)


def _counts(receipt: Receipt) -> tuple[int, ...]:
    return (
        receipt.steered_in_prefill, receipt.steered_in_decode, receipt.sinks_left_alone, receipt.gated_off,
        len(receipt.shares), len(receipt.latents),
    )  # fmt: skip


def test_when_lanes_end_the_others_keep_their_own_strength_and_receipt() -> None:
    dictionary, value = build_dictionary("jumprelu"), torch.randn(5, 1, D_MODEL)
    rows = SteeredRows([SparseEdit(dictionary, s) for s in STRIP], 1e9)
    meters = list(rows.meters)
    rows(value, None)

    rows.keep([1, 4])
    found = rows(value[[1, 4]], None)

    for row, steering in zip(found, (STRIP[1], STRIP[4]), strict=True):
        original = value[1] if steering is STRIP[1] else value[4]
        torch.testing.assert_close(row, slow_edit(dictionary.sae, original, steering))
    assert [m.receipt().steered_in_prefill for m in meters] == [1, 2, 1, 1, 2]
