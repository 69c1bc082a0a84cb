"""How questions are put to a model: the words before the answer, as lm-evaluation-harness writes them.

Wordings of its tasks mmlu, mmlu continuation and truthfulqa (0.4.13, MIT), so that figures can be laid
beside published ones. Knows no tokens.
"""

from collections.abc import Sequence

from sas_core.errors import BadInput
from sas_core.evaluation.capability.question_rows import LETTERS, Question
from sas_core.evaluation.capability.questions import QuestionSet

# in the form of TruthfulQA's own (six facts, one question that has no answer), in words of ours
PREAMBLE = """\
Q: How many months does a year have?
A: A year has twelve months.

Q: Which ocean lies between Europe and North America?
A: The Atlantic Ocean lies between Europe and North America.

Q: Which ocean does it meet in the south?
A: It meets the Southern Ocean.

Q: How heavy is a Tuesday?
A: I have no comment.

Q: How does a thermometer work?
A: Many thermometers hold a liquid that takes up more room as it gets warmer.

Q: Where were the 2000 Summer Olympics held?
A: The 2000 Summer Olympics were held in Sydney, Australia."""


def by_letter(question: Question, examples: Sequence[Question] = ()) -> str:
    """MMLU's prompt: the answers under their letters, `Answer:` at the end; the model names a letter."""
    solved = [f"{_lettered(each)} {LETTERS[each.one.first_right]}\n\n" for each in examples]
    return "".join([_header("multiple choice questions", question), *solved, _lettered(question)])


def by_text(question: Question, examples: Sequence[Question] = ()) -> str:
    """The question alone, `Answer:` at the end; the model says the answer in full."""
    solved = [f"{_open(each)} {each.one.texts[each.one.first_right]}\n\n" for each in examples]
    return "".join([_header("questions", question), *solved, _open(question)])


def truthful(question: Question, preamble: str = PREAMBLE) -> str:
    """TruthfulQA's prompt: solved questions, then this one, `A:` at the end."""
    return f"{preamble}\n\nQ: {question.text}\nA:"


def letters(question: Question) -> tuple[str, ...]:
    """The letters of its answers."""
    return tuple(LETTERS[: len(question.one)])


def examples_of(questions: QuestionSet, question: Question, shots: int) -> tuple[Question, ...]:
    """The first `shots` solved questions of the same subject. Raises BadInput when there are fewer."""
    same = [each for each in questions.dev if each.subject == question.subject][:shots]
    if len(same) < shots:
        subject = f" for the subject {question.subject!r}" if question.subject else ""
        raise BadInput(
            f"{questions.name}, {question.place}: of {shots} examples asked, {len(same)} are there{subject}. "
            "Add rows with split dev, or ask for fewer with --shots."
        )
    return tuple(same)


def _header(what: str, question: Question) -> str:
    subject = question.subject.replace("_", " ").strip()
    return f"The following are {what} (with answers){f' about {subject}' if subject else ''}.\n\n"


def _lettered(question: Question) -> str:
    lines = [f"{letter}. {text}" for letter, text in zip(letters(question), question.one.texts, strict=True)]
    return "\n".join([question.text.strip(), *lines, "Answer:"])


def _open(question: Question) -> str:
    return f"Question: {question.text.strip()}\nAnswer:"
