"""What the talkers say: sentences put together from a small grammar, so hours of speech need not repeat."""

from __future__ import annotations

import numpy as np

_SUBJECTS = (
    "the old harbour", "my grandmother's garden", "the first experiment", "our little theatre", "the night train",
    "a good teacher", "the northern river", "this simple machine", "the last winter", "a patient listener",
    "the village school", "our new method", "the morning market", "a single photograph", "the long bridge",
    "the quiet student", "that famous speech", "the second chapter", "a broken clock", "the whole orchestra",
)  # fmt: skip
_PLURALS = (
    "most people", "the early settlers", "our neighbours", "young musicians", "the best engineers", "small children",
    "many doctors", "the fishermen", "good questions", "simple tools", "the oldest letters", "wild geese",
)  # fmt: skip
_VERBS = (
    "taught us", "showed everybody", "almost ruined", "slowly changed", "gave back", "carried", "surprised",
    "quietly explained", "never forgot", "followed", "finally opened", "made room for",
)  # fmt: skip
_OBJECTS = (
    "the meaning of patience", "a completely different answer", "the value of mistakes", "half of the town",
    "three important lessons", "the way we listen", "an enormous amount of work", "the colour of the sea",
    "a better kind of map", "everything we believed", "the smallest details", "a reason to continue",
)  # fmt: skip
_ENDS = (
    "before anybody noticed", "in only seven days", "without a single word", "on the other side of the hill",
    "at the very beginning", "long after midnight", "in front of the whole class", "with nothing but a pencil",
    "for the second time", "against all advice", "between two storms", "and nobody complained",
)  # fmt: skip
_ASIDES = (
    "I think", "as you can see", "to be honest", "believe me", "of course", "in my opinion", "strangely enough",
    "and this is important",
)  # fmt: skip
_PATTERNS = (
    "{Subject} {verb} {object}.",
    "{Subject} {verb} {object} {end}.",
    "{Aside}, {subject} {verb} {object}.",
    "{Plural} know that {subject} {verb} {object}.",
    "What {subject} {verb}, {aside}, was {object}.",
    "On the one hand {plural} wanted {object}, on the other hand {subject} {verb} them {end}.",
    "Not {object}, but {object2}: that is what {plural} were looking for {end}.",
    "First {subject} {verb} {object}, then {subject2} {verb2} {object2}, and finally it was over.",
    "Why do {plural} talk about {object}? Because {subject} {verb} {object2}.",
    "It is bigger than {subject}, it is older than {subject2}, and still {plural} ask for {object}.",
)


def sentence(rng: np.random.Generator) -> str:
    """One sentence."""
    subjects, objects, verbs = (rng.permutation(np.array(words, object))[:2] for words in (_SUBJECTS, _OBJECTS, _VERBS))
    plural, aside, end = (str(rng.choice(words)) for words in (_PLURALS, _ASIDES, _ENDS))
    return str(rng.choice(_PATTERNS)).format(
        subject=subjects[0], subject2=subjects[1], Subject=_capital(subjects[0]), verb=verbs[0], verb2=verbs[1],
        object=objects[0], object2=objects[1], plural=plural, Plural=_capital(plural), aside=aside,
        Aside=_capital(aside), end=end,
    )  # fmt: skip


def monologue(rng: np.random.Generator, *, words: int) -> str:
    """Sentences of at least so many words together."""
    said: list[str] = []
    while sum(len(part.split()) for part in said) < words:
        said.append(sentence(rng))
    return " ".join(said)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
