"""`steer`: what is printed is what the engine gives, and stdout holds nothing else."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, Request
from sas_core.steering.spec import Lane, Sampling, Steering, Term
from sas_core.vectors.schema import parse_vector
from tests.cli.conftest import Run
from tests.cli.test_usage import ROOT

PROMPT = "Tell me about your day."


def asked(engine: Engine, steering: Steering, sampling: Sampling, **options: object) -> Done:
    lanes = (Lane("unsteered"), Lane("steered", steering))
    return engine.run(Request(PROMPT, lanes, sampling, **options))


def file_term(path: Path, strength: float = 1.0) -> Term:
    features = parse_vector(path.read_bytes()).features
    return Term("v", tuple(f.index for f in features), tuple(f.value for f in features), strength)


def test_the_document_is_what_the_engine_gives(
    cli: Run, tiny: list[object], vector_file: Path, engine: Engine
) -> None:
    ran = cli("steer", "--vector", vector_file, "--scale", "3", "--prompt", PROMPT, "--max-new-tokens", "6",
              "--json", *tiny)  # fmt: skip
    done = asked(engine, Steering((file_term(vector_file),), 3.0), Sampling(6))
    unsteered, steered = done.lanes
    assert ran.json == {
        "prompt_ids": list(done.prompt_ids),
        "lanes": [
            {
                "name": "unsteered",
                "scale": 0.0,
                "token_ids": list(unsteered.token_ids),
                "text": unsteered.text,
            },
            {
                "name": "steered",
                "scale": 3.0,
                "token_ids": list(steered.token_ids),
                "text": steered.text,
                "receipt": {
                    **asdict(steered.receipt),
                    "shares": list(steered.receipt.shares),
                    "latents": [asdict(latent) for latent in steered.receipt.latents],
                },
            },
        ],
    }
    assert steered.token_ids != unsteered.token_ids


def test_as_a_program_it_prints_one_line_of_json_and_nothing_else(
    tiny: list[object], vector_file: Path
) -> None:
    command = ["steer", "--vector", vector_file, "--prompt", PROMPT, "--max-new-tokens", "2", "--json", *tiny]
    done = subprocess.run(
        [sys.executable, "-m", "sas_core", *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith('{"prompt_ids": ') and done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_for_a_person_there_are_two_panels_and_the_receipt(
    cli: Run, tiny: list[object], vector_file: Path
) -> None:
    ran = cli(
        "steer", "--vector", vector_file, "--scale", "2", "--prompt", PROMPT, "--max-new-tokens", "3", *tiny
    )
    assert ran.code == 0
    assert "unsteered" in ran.out and "steered at 2" in ran.out
    assert "3 tokens steered (1 of the prompt, 2 generated)" in ran.err


def test_without_a_scale_a_vector_starts_where_its_file_says(
    cli: Run, tiny: list[object], vector_file: Path, tmp_path: Path
) -> None:
    vector = parse_vector(vector_file.read_bytes()).model_copy(update={"strength": -2.5})
    (tmp_path / "v.json").write_text(vector.model_dump_json(), encoding="utf-8")
    command = ["steer", "--prompt", PROMPT, "--max-new-tokens", "2", "--json", *tiny]
    scales = [
        cli(*command, *options).json["lanes"][1]["scale"]
        for options in (
            ["--vector", tmp_path / "v.json"],
            ["--vector", tmp_path / "v.json", "--vector", vector_file],
            ["--vector", tmp_path / "v.json", "--scale", "0.5"],
        )
    ]
    assert scales == [-2.5, 1.0, 0.5]


def test_several_vectors_and_latents_are_composed_with_their_strengths(
    cli: Run, tiny: list[object], vector_file: Path, engine: Engine
) -> None:
    added = ["--vector", vector_file, "--vector", vector_file, "--strength", "1", "--strength", "-0.5",
             "--latent", "3:2.5", "--latent", "9:-1"]  # fmt: skip
    how = ["--scale", "2", "--tokens", "all", "--nonlinearity", "none", "--max-new-tokens", "5"]
    ran = cli("steer", *added, *how, "--prompt", PROMPT, "--json", *tiny)
    terms = (
        file_term(vector_file, 1.0),
        file_term(vector_file, -0.5),
        Term("a", (3,), (2.5,)),
        Term("b", (9,), (-1.0,)),
    )
    done = asked(engine, Steering(terms, 2.0, "none", "all"), Sampling(5))
    assert ran.json["lanes"][1]["token_ids"] == list(done.lanes[1].token_ids)
    assert ran.json["lanes"][1]["receipt"]["steered_in_prefill"] == len(done.prompt_ids) - 1


def test_vectors_that_differ_in_how_they_are_applied_need_a_choice(
    cli: Run, tiny: list[object], vector_file: Path, tmp_path: Path
) -> None:
    vector = parse_vector(vector_file.read_bytes()).model_copy(update={"steered_tokens": "all"})
    (tmp_path / "v.json").write_text(vector.model_dump_json(), encoding="utf-8")
    command = ["steer", "--vector", vector_file, "--vector", tmp_path / "v.json", "--prompt", PROMPT,
               "--max-new-tokens", "1", *tiny]  # fmt: skip
    refused = cli(*command)
    assert refused.code == 2 and "--tokens" in refused.err
    assert cli(*command, "--tokens", "generated").code == 0


def test_at_scale_zero_both_lanes_are_the_same(cli: Run, tiny: list[object], vector_file: Path) -> None:
    ran = cli("steer", "--vector", vector_file, "--scale", "0", "--prompt", PROMPT, "--max-new-tokens", "5",
              "--json", *tiny)  # fmt: skip
    unsteered, steered = ran.json["lanes"]
    assert steered["token_ids"] == unsteered["token_ids"]
    assert steered["receipt"]["steered_in_prefill"] + steered["receipt"]["steered_in_decode"] == 0


def test_a_strength_that_changes_nothing_is_refused_and_not_printed(
    cli: Run, llama_folder: Path, dead_latent_sae: Path
) -> None:
    ran = cli("steer", "--latent", "7:-2", "--prompt", PROMPT, "--max-new-tokens", "3", "--json",
              "--model", llama_folder, "--sae-path", dead_latent_sae, "--device", "cpu")  # fmt: skip
    assert (ran.code, ran.out) == (2, "")
    assert "changed nothing" in ran.err and ran.err.count("\n") == 1


def test_a_latent_beyond_the_sae_is_refused(cli: Run, tiny: list[object]) -> None:
    ran = cli("steer", "--latent", "4800:1", "--prompt", PROMPT, *tiny)
    assert ran.code == 2 and "Latent 4800 does not exist" in ran.err


def test_a_seed_repeats_a_sample_and_another_changes_it(
    cli: Run, tiny: list[object], vector_file: Path, engine: Engine
) -> None:
    command = ["steer", "--vector", vector_file, "--prompt", PROMPT, "--max-new-tokens", "8", "--temperature",
               "1.5", "--top-p", "0.9", "--json", *tiny]  # fmt: skip
    first, again, other = (cli(*command, "--seed", seed).json for seed in ("1", "1", "2"))
    assert first == again and first["lanes"][0] != other["lanes"][0]
    done = asked(engine, Steering((file_term(vector_file),)), Sampling(8, 1.5, 0.9, 1))
    assert first["lanes"][1]["token_ids"] == list(done.lanes[1].token_ids)


@pytest.mark.parametrize(
    ("options", "request_options"),
    [
        ([], {}),
        (["--chat", "--system", "Be brief."], {"chat": True, "system": "Be brief."}),
        (["--raw"], {"chat": False}),
    ],
)
def test_the_prompt_is_written_as_asked(
    cli: Run, tiny: list[object], engine: Engine, options: list[str], request_options: dict[str, object]
) -> None:
    ran = cli("steer", "--latent", "3:2", "--prompt", "-", "--max-new-tokens", "1", "--json", *options, *tiny,
              stdin=PROMPT + "\n")  # fmt: skip
    wanted = engine.turns.encode(
        PROMPT, chat=request_options.get("chat"), system=request_options.get("system")
    )
    assert ran.json["prompt_ids"] == list(wanted.ids)


def test_chat_with_a_model_that_has_no_template_is_refused(
    cli: Run, gpt2_folder: Path, sae_folder: Path
) -> None:
    raw = ["--model", gpt2_folder, "--sae-path", sae_folder, "--latent", "3:2", "--prompt", PROMPT,
           "--max-new-tokens", "1"]  # fmt: skip
    refused = cli("steer", "--chat", *raw)
    assert refused.code == 2 and "no chat template" in refused.err
    assert cli("steer", *raw).code == 0
