"""What the commands beside training read from their words: ``key=value`` options, and places."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lightning_skills.errors import InputError


def read_options(words: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """The values of ``key=value`` words; of a key that is there twice, the last.

    Raises:
        InputError: if a word is none, or its key is not known (names the closest).
    """
    values = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"cannot read {word!r}; options are written key=value")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1) or known
            raise InputError(f"unknown option {key!r}; there is {', '.join(close)}")
        values[key] = value
    return values


def options_and_places(words: Sequence[str], defaults: Mapping[str, str]) -> tuple[dict[str, str], list[Path]]:
    """Split words into options, laid over their defaults, and the paths that a command is given.

    Raises:
        InputError: if an option is unknown (names the closest), or there is no path.
    """
    places = [word for word in words if _is_place(word, defaults)]
    given = read_options([word for word in words if word not in places], defaults)
    if not places:
        raise InputError("give a run: the folder that a training wrote to")
    return {**defaults, **given}, [Path(place) for place in places]


def _is_place(word: str, known: Collection[str]) -> bool:
    """Whatever is no option, and folders with an equals sign in their names."""
    key, equals, _ = word.partition("=")
    return not equals or (key not in known and Path(word).exists())


def options_of(words: Sequence[str], *groups: str) -> tuple[list[str], list[str]]:
    """The words ``GROUP.KEY=value`` of some groups (``env``), and the others."""
    inside = [word for word in words if word.startswith(tuple(f"{group}." for group in groups))]
    return inside, [word for word in words if word not in inside]


def one_place(places: Sequence[Path]) -> str:
    """The only one of the places that a command is given.

    Raises:
        InputError: if there are several.
    """
    if len(places) > 1:
        raise InputError(f"one run at a time, not {', '.join(map(str, places))}")
    return str(places[0])


def check_free(file: Path, overwrite: str) -> None:
    """Keep what an earlier command wrote from being lost.

    Raises:
        InputError: if the file is there and ``overwrite`` is not "true", or that is no answer.
    """
    if overwrite not in ("true", "false"):
        raise InputError(f"overwrite={overwrite}: write true or false")
    if overwrite == "false" and file.exists():
        raise InputError(f"{file.parent} holds {file.name} already; give out=FOLDER, or overwrite=true")
