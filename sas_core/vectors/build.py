"""From what is loaded and ranked to a vector file, with the decoded sum and a run to verify it by."""

from collections.abc import Mapping, Sequence
from typing import Any

from sas_core.contrast.choice import Choice
from sas_core.contrast.ranking import Ranking
from sas_core.errors import BadInput, Mismatch
from sas_core.model.versions import library_versions
from sas_core.steering.controls import dense_sum
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, Request
from sas_core.steering.spec import Lane, Sampling, Steering, Term
from sas_core.vectors.compare import Difference, LoadedIdentity, differences
from sas_core.vectors.fields import (
    Feature,
    ModelPart,
    PairsPart,
    SaePart,
    VectorFile,
    Verify,
    name_fault,
    now_utc,
)

VERIFY_PROMPT = "Tell me about your day."
VERIFY_TOKENS = 40


def identity(engine: Engine) -> LoadedIdentity:
    """What is loaded, for comparison with a file."""
    sae = engine.dictionary.identity
    return LoadedIdentity(
        engine.name, None, engine.placement.dtype, engine.model.cfg.d_model, engine.dictionary.model_kwargs,
        sae.hook_name, sae.d_in, sae.d_sae, sae.sha256,
    )  # fmt: skip


def sas_vector_file(engine: Engine, name: str, ranking: Ranking, choice: Choice, *, strength: float = 1.0,
                    labels: Mapping[int, str] | None = None, verify: bool = True) -> VectorFile:  # fmt: skip
    """The SAS vector of a ranking at the chosen tau, sides and top-k. Raises BadInput when it is empty."""
    vector, funnel = ranking.vector(choice)
    if not len(vector.indices):
        raise BadInput(
            f"No latent passes tau {choice.tau:g} on one side only ({funnel.sentence()}) Lower tau."
        )
    columns = (vector.indices, vector.values, vector.freq_pos, vector.freq_neg, vector.mean_pos,
               vector.mean_neg)  # fmt: skip
    features = tuple(
        Feature(index=int(i), value=float(v), freq_pos=float(fp), freq_neg=float(fn), mean_pos=float(mp),
                mean_neg=float(mn), label=(labels or {}).get(int(i)))
        for i, v, fp, fn, mp, mn in zip(*columns, strict=True)
    )  # fmt: skip
    pairs = PairsPart(name=ranking.pairs.name, count=len(ranking.pairs), sha256=ranking.pairs.sha256)
    return _file(
        engine, name, features, strength, verify, method="sas", tau=choice.tau, position=ranking.position,
        sides=choice.sides, drop_shared=choice.drop_shared, pairs=pairs,
    )  # fmt: skip


def latents_file(engine: Engine, name: str, values: Mapping[int, float], *, strength: float = 1.0,
                 labels: Mapping[int, str] | None = None, verify: bool = True) -> VectorFile:  # fmt: skip
    """A vector of hand-picked or composed latents."""
    features = tuple(Feature(index=i, value=v, label=(labels or {}).get(i)) for i, v in values.items() if v)
    if not features:
        raise BadInput("There is nothing to save: every strength is zero.")
    return _file(engine, name, features, strength, verify, method="latents")


def steering_of(vector: VectorFile, scale: float) -> Steering:
    """The file as a steering, with its own nonlinearity and steered tokens."""
    return Steering((term_of(vector),), scale, vector.nonlinearity, vector.steered_tokens)


def term_of(vector: VectorFile, strength: float = 1.0) -> Term:
    return Term(
        vector.name,
        tuple(f.index for f in vector.features),
        tuple(f.value for f in vector.features),
        strength,
    )


def check_belongs(vector: VectorFile, engine: Engine) -> tuple[Difference, ...]:
    """Warnings about what differs. Raises Mismatch with the first fatal difference."""
    found = differences(vector, identity(engine))
    for difference in found:
        if difference.severity == "fatal":
            raise Mismatch(f"{vector.name!r} cannot be used with what is loaded. {difference.sentence}")
    return found


def _file(engine: Engine, name: str, features: tuple[Feature, ...], strength: float, verify: bool,
          **fields: Any) -> VectorFile:  # fmt: skip
    fault = name_fault(name)
    if fault:
        raise BadInput(f"The vector cannot be made: its name {fault}.")
    file = VectorFile(
        name=name, created_at=now_utc(), strength=strength, features=features,
        model=_model_part(engine), sae=_sae_part(engine), versions=library_versions(),
        dense=tuple(_dense(engine, features)), **fields,
    )  # fmt: skip
    if not verify:
        return file
    done = _verify_run(engine, file, VERIFY_PROMPT, strength, VERIFY_TOKENS)
    block = Verify(
        prompt=VERIFY_PROMPT, prompt_ids=done.prompt_ids, seed=0, scale=strength,
        max_new_tokens=VERIFY_TOKENS, unsteered=done.lanes[0].token_ids, steered=done.lanes[1].token_ids,
        dtype=engine.placement.dtype, device=engine.placement.device,
    )  # fmt: skip
    return file.model_copy(update={"verify": block})


def _verify_run(engine: Engine, vector: VectorFile, prompt: str, scale: float, new_tokens: int) -> Done:
    lanes = (Lane("unsteered"), Lane("steered", steering_of(vector, scale)))
    request = Request(prompt, lanes, Sampling(new_tokens))
    return next(e for e in engine.stream(request) if isinstance(e, Done))


def _dense(engine: Engine, features: Sequence[Feature]) -> list[float]:
    values = {f.index: f.value for f in features}
    return [float(x) for x in dense_sum(engine.dictionary, engine.typical_norm, values).cpu()]


def _model_part(engine: Engine) -> ModelPart:
    return ModelPart(
        name=engine.name, dtype=engine.placement.dtype, processing=engine.dictionary.model_kwargs,
        d_model=engine.model.cfg.d_model, chat_template_sha256=engine.turns.template_sha256,
    )  # fmt: skip


def _sae_part(engine: Engine) -> SaePart:
    sae = engine.dictionary.identity
    # a path of this machine means nothing elsewhere; the hash says which weights they are
    name = None if sae.path is None else sae.path.rstrip("/").rpartition("/")[2]
    return SaePart(
        release=sae.release, sae_id=sae.sae_id, path=name, hook_name=sae.hook_name, d_in=sae.d_in,
        d_sae=sae.d_sae, sha256=sae.sha256, architecture=sae.architecture,
        normalize_activations=sae.normalize_activations,
    )  # fmt: skip
