"""What import says about a vector that was made elsewhere."""

from dataclasses import replace

import pytest

from sas_core.vectors.schema import LoadedIdentity, differences

LOADED = LoadedIdentity(
    model_name="tiny-llama",
    revision="abc123",
    dtype="float32",
    d_model=4,
    processing={},
    hook_name="blocks.1.hook_resid_post",
    d_in=4,
    d_sae=8,
    sae_sha256="a" * 64,
)


def test_a_vector_of_what_is_loaded_has_no_differences(make_vector):
    assert differences(make_vector(), LOADED) == ()


@pytest.mark.parametrize(
    ("change", "field", "severity"),
    [
        ({"hook_name": "blocks.1.hook_resid_pre"}, "sae.hook_name", "fatal"),
        ({"d_in": 5}, "sae.d_in", "fatal"),
        ({"d_sae": 4096}, "sae.d_sae", "fatal"),
        ({"sae_sha256": "b" * 64}, "sae.sha256", "fatal"),
        ({"d_model": 5}, "model.d_model", "fatal"),
        ({"model_name": "tiny-llama-it"}, "model.name", "warning"),
        ({"revision": "def456"}, "model.revision", "warning"),
        ({"dtype": "bfloat16"}, "model.dtype", "warning"),
        ({"processing": {"center_writing_weights": True}}, "model.processing", "warning"),
    ],
)
def test_one_change_is_one_difference_with_both_values(make_vector, change, field, severity):
    (found,) = differences(make_vector(), replace(LOADED, **change))
    assert (found.field, found.severity) == (field, severity)
    assert found.file != found.loaded
    assert found.sentence[0].isupper() and found.sentence.endswith(".")


def test_another_model_of_equal_width_is_a_warning_that_says_what_to_expect(make_vector):
    (found,) = differences(make_vector(), replace(LOADED, model_name="tiny-llama-it"))
    assert "base model and its chat model" in found.sentence and "not be reproduced" in found.sentence


def test_another_model_of_another_width_is_fatal(make_vector):
    found = differences(make_vector(), replace(LOADED, model_name="big", d_model=8))
    assert [(d.field, d.severity) for d in found] == [("model.d_model", "fatal"), ("model.name", "fatal")]


def test_an_unknown_revision_on_either_side_is_no_difference(make_vector):
    assert differences(make_vector(), replace(LOADED, revision=None)) == ()


def test_processing_that_is_switched_off_equals_processing_not_named(make_vector):
    assert differences(make_vector(), replace(LOADED, processing={"fold_ln": False})) == ()


def test_fatal_differences_come_first(make_vector):
    other = replace(LOADED, dtype="bfloat16", model_name="x", sae_sha256="b" * 64, hook_name="ln_final")
    severities = [d.severity for d in differences(make_vector(), other)]
    assert severities == ["fatal", "fatal", "warning", "warning"]


def test_the_sentence_shows_sizes_as_numbers_one_can_read(make_vector):
    (found,) = differences(make_vector(), replace(LOADED, d_sae=65536))
    assert (
        found.sentence == "The vector belongs to an SAE of 8 latents, and an SAE of 65,536 latents is loaded."
    )
    assert (found.file, found.loaded) == ("8", "65536")
