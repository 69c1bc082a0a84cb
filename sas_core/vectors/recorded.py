"""The run stored in a vector file, as lanes: a real answer to show before anything is generated."""

from sas_core.model.chat import Turns
from sas_core.steering.engine import Engine
from sas_core.steering.generate import Chosen
from sas_core.steering.lanes import LaneResult, LaneText, Request
from sas_core.vectors.build import identity
from sas_core.vectors.compare import differences
from sas_core.vectors.fields import VectorFile


def recorded_answer(
    engine: Engine, vector: VectorFile, request: Request
) -> tuple[LaneResult, LaneResult] | None:
    """The unsteered and the steered lane, if the recorded run answers exactly this request, greedily.

    Length apart: a recorded run may be shorter than asked. None when anything else differs.
    """
    block = vector.verify
    if block is None or len(request.lanes) != 2 or request.lanes[1].steering is None:
        return None
    prompt = engine.turns.encode(request.prompt, chat=request.chat, system=request.system)
    steering = request.lanes[1].steering
    strength = steering.scale * steering.terms[0].strength
    same = (
        prompt.ids == block.prompt_ids
        and request.sampling.temperature == 0.0
        and (steering.tokens, steering.nonlinearity) == (vector.steered_tokens, vector.nonlinearity)
        and abs(strength - block.scale) < 1e-9
        and not differences(vector, identity(engine))
    )
    if not same:
        return None
    plain, steered = request.lanes
    return (
        _lane(plain.name, 0.0, block.unsteered, engine.turns),
        _lane(steered.name, block.scale, block.steered, engine.turns),
    )


def _lane(name: str, scale: float, ids: tuple[int, ...], turns: Turns) -> LaneResult:
    text = LaneText(name, scale)
    for token in ids:
        text.add(Chosen(0, token, 0.0, "end of turn" if token in turns.stop_ids else None), turns)
    return text.result()
