"""`steer`: what is printed is what the engine gives, and stdout holds nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sas_core.steering.engine import Engine
from sas_core.steering.gates import AnswerOnly, FirstTokens, WhileAbove
from sas_core.steering.lanes import Done, Request
from sas_core.steering.spec import Lane, Sampling, Steering, Term
from sas_core.vectors.schema import parse_vector
from sas_core.vectors.shelf import Shelf
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
                "receipt": json.loads(json.dumps(asdict(steered.receipt))),
            },
        ],
    }
    assert steered.token_ids != unsteered.token_ids


def test_as_a_program_it_prints_one_line_of_json_and_nothing_else(
    tiny: list[object], vector_file: Path, tmp_path: Path
) -> None:
    command = ["steer", "--vector", vector_file, "--prompt", PROMPT, "--max-new-tokens", "2", "--json", *tiny]
    done = subprocess.run(
        [sys.executable, "-m", "sas_core", *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "STEERSCOPE_CACHE": str(tmp_path)},
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


def test_modes_and_gates_of_vectors_and_latents_are_steered_as_written(
    cli: Run, tiny: list[object], vector_file: Path, engine: Engine
) -> None:
    how = ["--vector", vector_file, "--vector", vector_file, "--how", "clamp:first3", "--how", "answer",
           "--strength", "1", "--strength", "0.5", "--latent", "3:2.5:clamp", "--latent",
           "9:0.75:ablate:4>-1", "--latent", "5:1:scale", "--latent", "8:3:first2"]  # fmt: skip
    ran = cli("steer", *how, "--tokens", "all", "--prompt", PROMPT, "--max-new-tokens", "6", "--json", *tiny)
    one, two = file_term(vector_file, 1.0), file_term(vector_file, 0.5)
    terms = (
        replace(one, mode="clamp", gate=FirstTokens(3)),
        replace(two, gate=AnswerOnly()),
        Term("c", (3,), (2.5,), 1.0, "clamp"),
        Term("d", (9,), (1.0,), 0.75, "ablate", WhileAbove(4, -1.0)),
        Term("e", (5,), (1.0,), 1.0, "scale"),
        Term("f", (8,), (3.0,), 1.0, "add", FirstTokens(2)),
    )
    lane = asked(engine, Steering(terms, 1.0, "relu", "all"), Sampling(6)).lanes[1]
    assert ran.json["lanes"][1]["token_ids"] == list(lane.token_ids)
    assert ran.json["lanes"][1]["receipt"]["gates"] == [asdict(gate) for gate in lane.receipt.gates]
    assert len(lane.receipt.gates) == 4


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["--latent", "3:2:double"], "neither a mode"), (["--latent", "3:2:clamp:soon"], "neither a mode"),
     (["--latent", "3"], "not INDEX:VALUE"), (["--latent", "3:1e9"], "beyond ±10000"),
     (["--latent", "3:nan"], "not a finite number"), (["--latent", "3:1e9:ablate"], "beyond ±10000"),
     (["--latent", "3:2", "--how", "clamp"], "1 --how for 0 --vector"),
     (["--latent", "3:2", "--scale", "1e9"], "unusable"), (["--latent", "3:2", "--scale", "nan"], "unusable"),
     (["--latent", "3:2", "--scales", "1,2"], "give --zone too"),
     (["--latent", "3:2", "--zone", "--scales", "1,x"], "not a list of numbers"),
     (["--latent", "3@x:2"], "not INDEX:VALUE"), (["--latent", "3@2"], "not INDEX:VALUE"),
     (["--latent", "3:2", "--strip", "1,x"], "are not numbers"),
     (["--latent", "3:2", "--strip", ""], "are not numbers"),
     (["--latent", "3:2", "--strip", ",".join(map(str, range(15)))], "17 lanes"),
     (["--latent", "3:2", "--each", "left-out"], "cannot be left out"),
     (["--latent", "3:2", "--control", "placebo"], "none of random"),
     (["--latent", "3:2", "--control", "random:x"], "none of random"),
     (["--latent", "3:2", "--control", "dense:1"], "none of random"),
     (["--latent", "3:2", "--control", "system: "], "none of random"),
     (["--latent", "3:2", "--zone", "--control", "dense"], "lanes of its own"),
     (["--lanes", "[]"], "0 lanes"), (["--lanes", '[{"name":"a","x":1}]'], "there is no such field"),
     (["--lanes", "nowhere.json"], "neither a JSON list nor a file"),
     (["--lanes", '[{"name":"a"}]', "--latent", "3:2"], "leave out the other options"),
     (["--lanes", '[{"name":"a"}]', "--scale", "2"], "leave out the other options"),
     (["--lanes", '[{"name":"a"}]', "--messages", "[]"], "give one of them"),
     (["--vector", "tides"], "no saved vector named 'tides'")],
)  # fmt: skip
def test_what_cannot_be_steered_is_refused_before_a_model_is_loaded(
    cli: Run, options: list[str], reason: str
) -> None:
    ran = cli("steer", *options, "--prompt", PROMPT, "--model", "/nowhere", "--sae-path", "/nowhere")
    assert (ran.code, ran.out) == (2, "")
    assert reason in ran.err and ran.err.count("\n") == 1


def test_a_gate_that_never_opens_is_refused_with_how_far_it_was(cli: Run, tiny: list[object]) -> None:
    ran = cli("steer", "--latent", "3:2:7>1e6", "--prompt", PROMPT, "--max-new-tokens", "3", *tiny)
    assert (ran.code, ran.out) == (2, "")
    assert "never opened at the 3 tokens" in ran.err and "reached" in ran.err


def test_a_vector_that_overflows_is_refused_with_layer_and_latent(
    cli: Run, tiny: list[object], vector_file: Path, tmp_path: Path
) -> None:
    file = parse_vector(vector_file.read_bytes())
    feature = file.features[0].model_copy(update={"index": 3, "value": 1e38})
    (tmp_path / "v.json").write_text(file.model_copy(update={"features": (feature,)}).model_dump_json())
    ran = cli("steer", "--vector", tmp_path / "v.json", "--scale", "1000", "--prompt", PROMPT, *tiny)
    assert (ran.code, ran.out) == (2, "")
    assert "layer 1" in ran.err and "latent 3" in ran.err and ran.err.count("\n") == 1


def test_a_talk_is_answered_turn_by_turn(cli: Run, tiny: list[object], engine: Engine) -> None:
    said = ("Hi", "Hm.", "So?")
    roles = ("user", "assistant", "user")
    talk = [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]
    ran = cli("steer", "--latent", "3:2", "--messages", json.dumps(talk), "--max-new-tokens", "1", "--json",
              *tiny)  # fmt: skip
    assert ran.json["prompt_ids"] == list(engine.turns.encode(talk).ids)
    assert "give it, or a talk" in cli("steer", "--latent", "3:2", *tiny).err


def test_a_saved_vector_goes_by_its_name_and_a_file_comes_first(
    cli: Run, tiny: list[object], vector_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = parse_vector(vector_file.read_bytes()).model_copy(update={"name": "tides two", "strength": 3.0})
    shelf = Shelf(tmp_path / "cache" / "shelf.db")
    shelf.save(saved, "built")
    shelf.close()
    command = ["steer", "--vector", "tides two", "--prompt", PROMPT, "--max-new-tokens", "2", "--json", *tiny]
    assert cli(*command).json["lanes"][1]["scale"] == 3.0
    monkeypatch.chdir(tmp_path)
    text = saved.model_copy(update={"strength": -1.0}).model_dump_json()
    (tmp_path / "tides two").write_text(text, encoding="utf-8")
    assert cli(*command).json["lanes"][1]["scale"] == -1.0
