"""The arms of the decoding benchmark do the same work."""

import statistics
from pathlib import Path

import pytest

from benchmarks import bench_decode
from sas_core.model.presets import custom_preset


@pytest.fixture
def arms(engine, llama_folder: Path, sae_folder: Path) -> dict:
    preset = custom_preset(str(llama_folder), sae_path=str(sae_folder))
    found, same = bench_decode._arms(engine, preset, tokens=12, latents=8)
    assert same == 12
    return found


def test_unsteered_arms_of_all_three_libraries_write_the_same_tokens(arms) -> None:
    plain = arms[bench_decode.UNSTEERED]()
    assert len(plain) == 12
    assert arms[bench_decode.TRANSFORMERS]() == plain
    assert arms[bench_decode.HOOKED]() == plain
    assert arms[bench_decode.TWO]() == plain
    assert arms[bench_decode.EIGHT]() == plain


def test_the_steered_arm_is_steered_and_as_long(arms) -> None:
    steered = arms[bench_decode.STEERED]()
    assert len(steered) == 12
    assert steered != arms[bench_decode.UNSTEERED]()


def test_every_ratio_names_arms_that_are_timed(arms) -> None:
    assert {arm for _, top, bottom in bench_decode.RATIOS for arm in (top, bottom)} == set(arms)


def test_the_plain_layout_is_the_one_the_library_starts_from(engine) -> None:
    plain = bench_decode._plain_layout(engine)
    assert all(parameter.is_contiguous() for parameter in plain.parameters())
    ours = [parameter.is_contiguous() for parameter in engine.model.parameters()]
    assert 0.0 < statistics.mean(ours) < 1.0, "ours must differ, and still be ours after the copy"
