"""Training on a tiny model: it learns, it is saved as sae-lens reads it, and it goes on where it stopped."""

import json
from dataclasses import replace

import pytest
import torch
from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from safetensors.torch import load_file

from sas_core.dictionary.spec import Source, TrainSpec
from sas_core.dictionary.train import save_inference, train
from sas_core.errors import BadInput, Unavailable
from sas_core.model.dictionary import load_local
from sas_core.model.hooked import activations_at
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Lane, Sampling, Steering, Term


@pytest.fixture
def spec(tmp_path) -> TrainSpec:
    text = tmp_path / "text.txt"
    words = ["sea", "ship", "tide", "harbour", "salt", "gull", "wave", "oar", "deck", "storm"]
    text.write_text("\n".join(f"The {w} and the {v} at {w}." for w in words for v in words) * 30)
    return TrainSpec("tiny", "blocks.1.hook_resid_post", [Source(str(text))], 12_000, d_sae=64, k=8,
                     batch_size=100, context_size=32, buffer_size=400, warm_up_steps=5, lr=3e-3)  # fmt: skip


def test_it_learns_and_the_result_steers(engine, spec, tmp_path):
    curve = list(train(engine.model, engine.turns.tokenizer, spec, tmp_path / "run"))
    assert curve[-1].fvu < 0.6 * curve[0].fvu
    dictionary = load_local(tmp_path / "run" / "final", "cpu")
    assert (dictionary.identity.architecture, dictionary.identity.d_sae) == ("jumprelu", 64)
    ids = engine.turns.encode("The sea and the ship at sea.", chat=False).ids
    latents, _ = engine.latents_of(ids)
    steered = Engine(engine.model, dictionary, engine.placement, "tiny")
    strongest = int(steered.latents_of(ids)[0].mean(dim=0).argmax())
    steering = Steering((Term("v", (strongest,), (30.0,)),))
    done = steered.run(Request("The sea", (Lane("s", steering),), Sampling(4), chat=False))
    assert done.lanes[0].receipt.mean_share > 0
    assert latents.shape[-1] != 64


def test_a_stopped_run_goes_on_from_its_checkpoint(engine, spec, tmp_path):
    run = train(engine.model, engine.turns.tokenizer, spec, tmp_path / "run")
    stopped_at = next(run).tokens
    run.close()
    read = json.loads((tmp_path / "run" / "checkpoint" / "read.json").read_text())
    resumed = list(train(engine.model, engine.turns.tokenizer, spec, tmp_path / "run"))
    assert resumed[0].tokens > stopped_at
    assert resumed[-1].tokens <= spec.tokens
    told = json.loads((tmp_path / "run" / "final" / "training.json").read_text())
    # the card counts both stretches: fresh text is what is learnt from here
    assert 0 < read["positions_kept"] < spec.tokens <= told["positions_kept"]
    assert 0 < read["windows_read"] < told["windows_read"]


def test_a_run_that_learns_again_reads_less_text_and_goes_on_with_what_it_kept(engine, spec, tmp_path):
    tokenizer = engine.turns.tokenizer
    replaying = replace(spec, replay=3, replay_positions=2_000)
    run = train(engine.model, tokenizer, replaying, tmp_path / "run")
    next(run)
    run.close()
    kept = json.loads((tmp_path / "run" / "replay" / "count.json").read_text())
    curve = list(train(engine.model, tokenizer, replaying, tmp_path / "run"))
    assert curve[-1].tokens == spec.tokens
    said = json.loads((tmp_path / "run" / "final" / "training.json").read_text())
    # of the 12,000 that are learnt from a quarter is fresh, and the first ones
    assert kept["windows_read"] < said["windows_read"] < 12_000 / 32 * 0.7
    plain = list(train(engine.model, tokenizer, spec, tmp_path / "plain"))
    assert curve[-1].fvu < 1.5 * plain[-1].fvu


def test_a_finished_sae_is_widened_and_goes_on_from_what_it_knows(engine, spec, tmp_path):
    tokenizer = engine.turns.tokenizer
    fresh = list(train(engine.model, tokenizer, spec, tmp_path / "run"))
    final = tmp_path / "run" / "final"
    wider = replace(spec, d_sae=96, k=12, start_from=str(final))
    curve = list(train(engine.model, tokenizer, wider, tmp_path / "wider"))
    assert curve[0].fvu < 0.8 * fresh[0].fvu
    assert load_local(tmp_path / "wider" / "final", "cpu").identity.d_sae == 96
    said = json.loads((tmp_path / "wider" / "final" / "training.json").read_text())
    assert said["spec"]["start_from"] == "final"
    assert said["spec"]["sources"] == [{"name": "text.txt", "weight": 1.0}], "no path of this machine"


def test_scaled_thresholds_are_the_trained_ones_times_the_factor(spec, tmp_path):
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=8, d_sae=16, k=2))
    sae.topk_threshold.fill_(0.75)
    saved = []
    for scale in (1.0, 0.5):
        save_inference(sae, replace(spec, threshold_scale=scale), tmp_path / str(scale))
        saved.append(load_file(tmp_path / str(scale) / "sae_weights.safetensors"))
    plain, scaled = saved
    assert set(plain["threshold"].tolist()) == {0.75} and set(scaled["threshold"].tolist()) == {0.375}
    assert all(torch.equal(plain[name], scaled[name]) for name in plain.keys() - {"threshold"})


@pytest.mark.parametrize(("change", "words"), [({"d_sae": 32}, "a larger width"), ({}, "No SAE can be read")])
def test_an_sae_that_cannot_be_begun_from_is_refused(engine, spec, tmp_path, change, words):
    if change:
        list(train(engine.model, engine.turns.tokenizer, replace(spec, tokens=400), tmp_path / "run"))
    begun = replace(spec, start_from=str(tmp_path / "run" / "final"), **change)
    with pytest.raises(BadInput, match=words):
        list(train(engine.model, engine.turns.tokenizer, begun, tmp_path / "other"))


def test_text_that_ends_too_early_is_said_and_the_checkpoint_stays(engine, spec, tmp_path):
    greedy = replace(spec, tokens=10_000_000)
    with pytest.raises(Unavailable, match=r"The text ended after [\d,]+ of 10,000,000 tokens"):
        list(train(engine.model, engine.turns.tokenizer, greedy, tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoint").is_dir()


def test_the_stream_drops_sinks_and_special_tokens(engine, spec):
    from sas_core.dictionary.corpus import windows
    from sas_core.dictionary.stream import ActivationStream

    source = windows(spec.sources, engine.turns.tokenizer, 32)
    first = [next(source) for _ in range(4)]
    stream = ActivationStream(engine.model, spec.hook_name, iter(first), rows=2)
    vectors = list(stream.vectors())
    kept = sum(sum(keep) for _, keep in first)
    assert sum(map(len, vectors)) == stream.positions_kept == kept - stream.sinks_dropped
    assert stream.windows_read == 4
    assert (
        vectors[0].shape[-1]
        == activations_at(engine.model, spec.hook_name, vectors[0].new_tensor([[1, 2]]).long()).shape[-1]
    )
