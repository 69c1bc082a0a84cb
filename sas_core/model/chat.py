"""From what a person wrote to token ids, with the one boundary steering needs: where the user's turn ends."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sas_core.errors import BadInput
from sas_core.settings import setting

Message = dict[str, str]


@dataclass(frozen=True)
class PromptTokens:
    """`ids[instruction_end:]` is everything after the user's turn (the assistant header, if there is one)."""

    ids: tuple[int, ...]
    instruction_end: int

    def __len__(self) -> int:
        return len(self.ids)


class Turns:
    """Tokenisation for one model: chat template or raw text, BOS, and the ids that end a turn."""

    def __init__(self, tokenizer: Any, *, prepend_bos: bool, n_ctx: int) -> None:
        self.tokenizer, self.prepend_bos, self.n_ctx = tokenizer, prepend_bos, n_ctx
        self.special_ids = frozenset(tokenizer.all_special_ids)
        self.has_template = bool(getattr(tokenizer, "chat_template", None))
        self.stop_ids = self._stop_ids()

    def encode(
        self, prompt: str | Sequence[Message], *, chat: bool | None = None, system: str | None = None
    ) -> PromptTokens:
        """A user message (or a list of messages) to ids. `chat=None`: the template where there is one.

        Raises BadInput for an empty or malformed prompt, for one longer than the limit, for half a character,
        and for chat without a template.
        """
        use_chat = self.has_template if chat is None else chat
        if use_chat and not self.has_template:
            raise BadInput("This model has no chat template; choose raw completion instead.")
        _check_prompt(prompt, system)
        tokens = self._chat(prompt, system) if use_chat else self._raw(prompt, system)
        limit = min(self.n_ctx - 1, int(setting("max_prompt_tokens")))
        if len(tokens) > limit:
            raise BadInput(f"The prompt has {len(tokens):,} tokens and the limit is {limit:,}; shorten it.")
        return tokens

    def encode_completion(self, completion: str, *, chat: bool, after: str = "") -> tuple[int, ...]:
        """Tokens of a completion, tokenised apart. In raw mode a missing space at the joint is added."""
        joint = not chat and after and not after[-1].isspace() and not completion[:1].isspace()
        text = f" {completion}" if joint else completion
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each token as text, special tokens included."""
        return [self.tokenizer.decode([token]) for token in ids]

    @property
    def template_sha256(self) -> str | None:
        if not self.has_template:
            return None
        return hashlib.sha256(self.tokenizer.chat_template.encode()).hexdigest()

    def _raw(self, prompt: str | Sequence[Message], system: str | None) -> PromptTokens:
        if not isinstance(prompt, str):
            prompt = "\n".join(message["content"] for message in prompt)
        text = f"{system}\n{prompt}" if system else prompt
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        bos = self.tokenizer.bos_token_id
        if self.prepend_bos and bos is not None:
            ids = [bos, *ids]
        return PromptTokens(tuple(ids), len(ids) - 1)

    def _chat(self, prompt: str | Sequence[Message], system: str | None) -> PromptTokens:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if system:
            messages = [{"role": "system", "content": system}, *messages]
        before = self._render(messages, add_generation_prompt=False)
        whole = self._render(messages, add_generation_prompt=True)
        instruction = self.tokenizer.encode(before, add_special_tokens=False)
        ids = self.tokenizer.encode(whole, add_special_tokens=False)
        # some templates close a talk that has no header with tokens of their own: count what both share
        shared = next((i for i, (a, b) in enumerate(zip(instruction, ids, strict=False)) if a != b),
                      min(len(instruction), len(ids)))  # fmt: skip
        return PromptTokens(tuple(ids), min(shared, len(ids) - 1))

    def _render(self, messages: list[Message], *, add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        try:
            return self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except (TemplateError, KeyError, TypeError) as error:
            raise BadInput(
                f"The model's chat template refuses these messages ({error}). "
                "Use user and assistant turns in alternation, without a system prompt if it has no place."
            ) from error

    def _stop_ids(self) -> frozenset[int]:
        """End of text, and the special token the template puts after an assistant's words."""
        stops = {self.tokenizer.eos_token_id} - {None}
        if self.has_template:
            talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
            tail = self._render(talk, add_generation_prompt=False).rpartition("b")[2]
            ids = self.tokenizer.encode(tail, add_special_tokens=False)
            stops |= {token for token in ids[:1] if token in self.special_ids}
        return frozenset(stops)


def _check_prompt(prompt: str | Sequence[Message], system: str | None) -> None:
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not all(isinstance(turn.get(part), str) for turn in turns for part in ("role", "content")):
        raise BadInput("Each message of a prompt needs a role and a content, both text.")
    if not turns or not turns[-1]["content"].strip():
        raise BadInput("The prompt is empty; write something for the model to answer.")
    for text in (system or "", *(turn["content"] for turn in turns)):
        # JSON and URLs can spell half a surrogate pair, which no tokenizer can take
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadInput("The prompt holds half a character (a lone surrogate); remove it.")
