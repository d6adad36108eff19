"""Minari data sets as recordings, and our data sets as Minari's.

Younis et al., Minari (https://minari.farama.org). An episode of Minari has ``T`` steps and ``T + 1`` observations;
ours then has ``T + 1`` rows, and what belongs to the step after the last (action, reward, flags) is zero.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_skills.data import trajectories
from lightning_skills.data.importing import ImportOptions, Recording, check_vectors, column, one_line
from lightning_skills.data.trajectories import Dataset, Trajectory
from lightning_skills.errors import InputError
from lightning_skills.words import options_of, read_options

if TYPE_CHECKING:
    import gymnasium
    from minari import EpisodeData, MinariDataset
    from minari.data_collector.episode_buffer import EpisodeBuffer

PREFIX = "minari:"
EXPORTED = {"observation", "action", "reward", "terminated", "truncated"}


def read(reference: str, options: ImportOptions) -> Recording:
    """The episodes of a Minari data set on this machine; nothing is downloaded.

    Args:
        reference: Its id, looked up where Minari does (``MINARI_DATASETS_PATH``), or the path of its folder.
        options: ``observation`` names entries of a Dict observation (``a/b`` for one within another); default
            ``observation``.

    Raises:
        InputError: if it is missing, damaged, empty, of a version that Minari does not read, or without recorded
            spaces; if an entry is missing or not a vector of floats; or if a ``horizon`` is given.
    """
    if options.horizon is not None:
        raise InputError("horizon= is for HDF5 files; the episodes of a Minari data set have their ends")
    name = f"Minari data set {reference}"
    with one_line(f"{name} cannot be read"):
        folder = _find(reference)
        dataset = _open(name, folder)
        if not dataset.total_episodes:
            raise InputError(f"{name} is empty: it has no episodes")
        recipe = {"source": "minari", "id": dataset.id, "digest": _digest(folder)}
    return Recording(name, recipe, dataset.total_episodes, _episodes(name, dataset, options.observation))


def _find(reference: str) -> Path:
    from minari.storage import get_dataset_path

    found = get_dataset_path(reference)
    for folder in (found, Path(reference)):
        if (folder / "data" / "metadata.json").is_file():
            return folder / "data"
    raise InputError(
        f"no Minari data set at {found} (MINARI_DATASETS_PATH says where to look); `minari list local` names those "
        f"that are here, `minari download` fetches one"
    )


def _open(name: str, folder: Path) -> "MinariDataset":
    from minari import MinariDataset

    # Without recorded spaces Minari makes the env that the file names, that is, it runs code of the file's choice.
    missing = {"observation_space", "action_space"} - json.loads((folder / "metadata.json").read_text()).keys()
    if missing:
        raise InputError(f"{name}: its metadata lack {' and '.join(sorted(missing))}; save it with a newer Minari")
    return MinariDataset(folder)


def _digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            whole.update(
                f"{path.relative_to(folder).as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return whole.hexdigest()


def _episodes(name: str, dataset: "MinariDataset", observation: tuple[str, ...]) -> Iterator[Trajectory]:
    steps = 0
    with one_line(f"{name} cannot be read"):
        for episode in dataset.iterate_episodes():
            steps += len(episode)
            yield _trajectory(f"{name}: episode {episode.id}", episode, observation)
        if steps != dataset.total_steps:
            raise InputError(f"{name} is damaged: it holds {steps} steps, its metadata say {dataset.total_steps}")


def _trajectory(name: str, episode: "EpisodeData", observation: tuple[str, ...]) -> Trajectory:
    states = _observation(name, episode.observations, observation)
    check_vectors(name, "actions", episode.actions)
    count = len(states) - 1
    if len(episode.actions) != count:
        raise InputError(f"{name}: {len(episode.actions)} actions for {len(states)} observations, not {count}")
    columns = {
        "reward": column(name, "rewards", episode.rewards, count),
        "terminated": column(name, "terminations", episode.terminations, count).astype(bool),
        "truncated": column(name, "truncations", episode.truncations, count).astype(bool),
    }
    return {
        "observation": states,
        "action": np.pad(episode.actions, ((0, 1), (0, 0))),
        **{key: np.pad(array, (0, 1)) for key, array in columns.items()},
    }


def _observation(name: str, observations: Any, keys: tuple[str, ...]) -> np.ndarray:
    """The chosen entries side by side, ``[T + 1, S]``."""
    if not isinstance(observations, dict):
        if keys not in ((), ("observation",)):
            raise InputError(f"{name}: observations are one array without keys; leave out observation=")
        check_vectors(name, "observations", observations)
        return observations
    parts = []
    for key in keys or ("observation",):
        entry: Any = observations
        for part in key.split("/"):
            if not isinstance(entry, dict) or part not in entry:
                known = ", ".join(sorted(_leaves(observations)))
                raise InputError(f"{name}: observations lack {key!r}; choose among {known} with observation=")
            entry = entry[part]
        check_vectors(name, f"observation {key!r}", entry)
        parts.append(entry)
    return np.concatenate(parts, axis=1)


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}"


def make_env(words: Sequence[str]) -> "gymnasium.Env | None":
    """The gymnasium environment of the words ``env=ID`` and ``env.<argument>=VALUE``; None without words.

    Args:
        words: The id may be ``module:ID``, for a module that registers it; values are read as in a config.

    Raises:
        InputError: if a word is another one, or gymnasium cannot make the environment.
    """
    import gymnasium
    from omegaconf import OmegaConf

    arguments, others = options_of(words, "env")
    name = read_options(others, ["env"]).get("env")
    if name is None and arguments:
        raise InputError(f"{arguments[0]} is of no env; give env=ID too")
    if name is None:
        return None
    with one_line(f"gymnasium cannot make the env {name!r}; write module:ID if a module registers it"):
        named: Any = OmegaConf.to_container(OmegaConf.from_dotlist([word.removeprefix("env.") for word in arguments]))
        return gymnasium.make(name, **named)


def export(dataset: Dataset, dataset_id: str, env: "gymnasium.Env | None" = None) -> "MinariDataset":
    """Write a data set as a Minari data set, where Minari keeps its own (``MINARI_DATASETS_PATH``).

    A trajectory of ``T + 1`` rows becomes an episode of ``T`` steps: the last row is its final observation. The last
    step is marked truncated unless it is marked as an end already. Rewards are zero, and said to be unknown, if the
    data set has none; other keys are left out.

    Args:
        dataset: What to write.
        dataset_id: Its new name, ``namespace/name-v0``.
        env: The environment that the data are from; what made it is recorded for ``recover_environment``.

    Raises:
        InputError: if the values do not pass :func:`lightning_skills.data.trajectories.validate`, a trajectory has one
            row only, the widths are not those of the env, the id is malformed or exists, or it cannot be written.
    """
    import shutil

    import minari
    from gymnasium.spaces import Box
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage import get_dataset_path
    from tqdm import tqdm

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError):  # the latter where the version is missing
        raise InputError(f"{dataset_id!r} is no id of Minari; write namespace/name-v0") from None
    trajectories.validate(dataset)
    if dataset.lengths.min() < 2:
        index = int(dataset.lengths.argmin())
        raise InputError(f"data set {dataset.path}: trajectory {index} has one row; an episode of Minari needs two")
    state, action = dataset.steps["observation"], dataset.steps["action"]
    if env is not None:
        _check_widths(dataset, env)
    with one_line(f"cannot write the Minari data set {dataset_id}"):
        folder = get_dataset_path(dataset_id)
    if folder.exists():
        raise InputError(f"the Minari data set {dataset_id} exists already at {folder}; choose another name or version")
    # disable=None: a bar in a terminal only.
    buffers = tqdm(_buffers(dataset), "export", len(dataset.lengths), unit=" episodes", disable=None, leave=False)
    try:
        with one_line(f"cannot write the Minari data set {dataset_id}"), warnings.catch_warnings():
            # It warns of every description that is left to the user: author, code, algorithm.
            warnings.simplefilter("ignore", UserWarning)
            return minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                env=env,
                observation_space=Box(-np.inf, np.inf, state.shape[1:], state.dtype),
                action_space=Box(-1.0, 1.0, action.shape[1:], action.dtype),
                description=_description(dataset),
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_widths(dataset: Dataset, env: "gymnasium.Env") -> None:
    for key, space in (("observation", env.observation_space), ("action", env.action_space)):
        width = dataset.steps[key].shape[1:]
        # A Dict has no shape: which of its entries are in the data is not known.
        if space.shape is not None and space.shape != width:
            raise InputError(
                f"data set {dataset.path}: {key} has width {list(width)}, that of the env is {list(space.shape)}"
            )


def _buffers(dataset: Dataset) -> "Iterator[EpisodeBuffer]":
    from minari.data_collector.episode_buffer import EpisodeBuffer

    for first, length in zip(dataset.starts, dataset.lengths, strict=True):
        rows = slice(first, first + length - 1)
        flags = {key: np.zeros(length - 1, dtype=bool) for key in ("terminated", "truncated")}
        flags |= {key: np.array(dataset.steps[key][rows], dtype=bool) for key in flags if key in dataset.steps}
        if not flags["terminated"][-1]:
            flags["truncated"][-1] = True
        yield EpisodeBuffer(
            observations=np.array(dataset.steps["observation"][first : first + length]),
            actions=np.array(dataset.steps["action"][rows]),
            rewards=np.array(dataset.steps["reward"][rows]) if "reward" in dataset.steps else np.zeros(length - 1),
            terminations=flags["terminated"],
            truncations=flags["truncated"],
        )


def _description(dataset: Dataset) -> str:
    left_out = sorted({*dataset.steps, *dataset.episodes} - EXPORTED)
    sentences = [
        f"Exported from a data set of lightning_skills, digest {dataset.digest}, recipe {json.dumps(dataset.recipe)}.",
        "" if "reward" in dataset.steps else "Rewards are unknown and written as zeros.",
        f"Left out: {', '.join(left_out)}." if left_out else "",
    ]
    return " ".join(filter(None, sentences))
