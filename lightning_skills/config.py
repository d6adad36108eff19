"""From command-line words to one frozen dataclass: Hydra composes, the dataclasses validate, plain values travel.

Nothing beyond this file sees Hydra or a DictConfig. The options of a method and of an env exist once, as the frozen
dataclass of the plug-in. An experiment wins over presets, the smoke settings over both, and the user's words over all.
"""

import dataclasses
import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_skills import limits, plugins
from lightning_skills.config_tree import WHOLE_COPY, flatten, may_change, plain, read_tree
from lightning_skills.errors import InputError, first_line, listed
from lightning_skills.files import advised, reading
from lightning_skills.parts import check_needs
from lightning_skills.plugins import TASKS, EnvSpec, MethodSpec, Phase
from lightning_skills.run_options import Run, RunConfig

CONF = Path(__file__).resolve().parent.parent / "conf"
GROUPS = ("method", "env", "trainer", "logging", "evaluation", "experiment", "debug")
NAME_MAX = 255
"""Bytes of a folder's name on the file systems of today."""
PLAIN_WORDS = {
    r"Value '(.*)' of type '\w+' could not be converted to Integer": r"'\1' is not an integer",
    r"Value '(.*)' of type '\w+' could not be converted to Float": r"'\1' is not a number",
    r"Value '(.*)' is not a valid bool \(type \w+\)": r"'\1' is neither true nor false",
    r"Cannot convert '\w+' to string: '(.*)'": r"\1 is not text",
    r"Invalid type assigned: .* value: (.*)": r"\1 is a single value, and it has options of its own",
    r"field '.*' is not Optional": "it cannot be null",
    r"Key '.*' not in '.*'": "what was chosen beside it has no such option",
}
"""What OmegaConf says of a value that does not fit, and what we say."""


def load(words: Sequence[str]) -> Run:
    """Compose and validate one run from ``key=value`` words.

    Raises:
        InputError: unknown method, env or key; wrong type or value; a method on an env it cannot serve.
    """
    overrides = [_parse(word) for word in words]
    _check_single(overrides, "several values need a sweep, -m")
    choices, named = _choices([item for item in overrides if item.key_or_group in GROUPS])
    method, env = plugins.methods()[choices["method"]], plugins.envs()[choices["env"]]
    _check_phase_names(method)
    plugins.check_pair(method, env, own_data=any(item.key_or_group == "data" for item in overrides))
    first = env.distributions[0] if TASKS in method.requires else env.config().task
    task = next((str(item.value()) for item in overrides if item.key_or_group == "env.task"), named or first)
    _store("method", method.name, method.config, method.preset(env.name, task))
    _store("env", env.name, env.config, {"task": first})
    phases = {phase.name for phase in method.phases}
    moved = [
        f"+sources.{word}" if item.key_or_group in phases else word for item, word in zip(overrides, words, strict=True)
    ]
    known = plain(_compose([word for word in words if _parse(word).key_or_group in GROUPS]))
    _check_keys(overrides, flatten(known) | dict.fromkeys(phases), method)
    config = _freeze(_compose([*_smoke_words(choices, method=method, env=env), *moved]))
    _check_task(env, config.env.task, method)
    check_needs(method, env, config.env.task)
    if config.phase is not None and config.phase not in phases:
        raise _no_phase(method, config.phase)
    _check_left(config, method)
    name = _default_name(overrides, choices) if config.name is None else config.name
    if name in ("", "..") or Path(name).name != name:
        raise InputError(f"name is {name!r}; it names one folder, without '/'")
    if len(name.encode()) > NAME_MAX:
        raise InputError(f"name has {len(name.encode())} bytes; a folder's has {NAME_MAX} at most")
    return Run(dataclasses.replace(config, name=name), method, env, tuple(words))


def restore(folder: Path) -> Run:
    """The run that a run folder holds, as it was composed; its ``runs_dir`` is where the folder lies now.

    A folder that was moved or copied out of such a place keeps the ``runs_dir`` of its config.

    Raises:
        InputError: if there is none, its plug-ins are not registered, or it was written by another version.
    """
    run, place = read(folder / "config.yaml"), folder.resolve()
    runs_dir = str(place.parents[min(3, len(place.parents) - 1)])
    there = dataclasses.replace(run, config=dataclasses.replace(run.config, runs_dir=runs_dir))
    return there if there.directory.resolve() == place else dataclasses.replace(run, folder=folder)


def read(file: Path) -> Run:
    """The run whose resolved config a file holds.

    Raises:
        InputError: as :func:`restore`.
    """
    folder, name = file.parent, file.name
    if not file.exists():
        raise InputError(f"{folder} is no run: {name} is missing")
    with advised(WHOLE_COPY):
        tree = read_tree(file)
        with reading(file):
            names = [str(tree[group].pop("name")) for group in ("method", "env")]
    method, env = plugins.methods()[names[0]], plugins.envs()[names[1]]
    schema = OmegaConf.structured(RunConfig)
    _writable(schema)
    for key, options in (("method", method.config), ("env", env.config)):
        schema[key] = OmegaConf.structured(options)
        _writable(schema[key])
    try:
        there, here = flatten(tree), flatten(plain(schema))
        # An option that is null unless it is given says nothing of a run that is older than it.
        missing = {key for key in here.keys() - there.keys() if here[key] is not None and not may_change(key)}
        missing.discard("sources")
        if missing:
            raise InputError(f"{folder}: {name} was written by another version: it lacks {min(missing)}")
        config = _freeze(cast(DictConfig, OmegaConf.merge(schema, tree)))
    except OmegaConfBaseException as error:
        raise InputError(f"{folder}: {name} was written by another version: {_explain(error)}") from None
    return Run(config, method, env)


def change(run: Run, words: Sequence[str]) -> Run:
    """The run with other values of some of its options, ``key=value``.

    Raises:
        InputError: unknown option, wrong type or value, or a task that the env does not have.
    """
    overrides = [_parse(word) for word in words]
    tree = OmegaConf.structured(run.config)
    _writable(tree)
    _check_single(overrides, "give one value")
    _check_keys(overrides, flatten(plain(tree)))
    for override in overrides:
        try:
            OmegaConf.update(tree, override.key_or_group, override.value())
        except OmegaConfBaseException as error:
            raise InputError(_explain(error)) from None
    config = _freeze(tree)
    _check_task(run.env, config.env.task)
    return dataclasses.replace(run, config=config)


def load_env(words: Sequence[str]) -> tuple[EnvSpec, Any, Path]:
    """Compose an env alone, for the data commands.

    Returns:
        The env, its options and ``data_dir``.

    Raises:
        InputError: as :func:`load`.
    """
    overrides = [_parse(word) for word in words]
    _check_single(overrides, "give one value")
    choices, _ = _choices([item for item in overrides if item.key_or_group in GROUPS])
    env = plugins.envs()[choices["env"]]
    _store("env", env.name, env.config, {})
    known = plain(_compose([word for word in words if _parse(word).key_or_group in GROUPS]))
    _check_keys(overrides, flatten(known))
    config = _freeze(_compose([*_smoke_words(choices, env=env), *words]))
    _check_task(env, config.env.task)
    return env, config.env, Path(config.data_dir)


def _parse(word: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        hint = (
            "put the value into quotes of its own, \"key='value'\"" if "=" in word else "options are written key=value"
        )
        raise InputError(f"cannot read {word!r}; {hint}") from None
    if override.is_add() or override.is_delete() or override.is_force_add():
        raise InputError(f"cannot add or delete options ({word!r}); write {override.key_or_group}=value")
    return override


def _choices(groups: Sequence[Override]) -> tuple[dict[str, str], str | None]:
    """What is selected in each config group, and the task that an experiment names; composes no plug-in's options."""
    for kind, registry in (("method", plugins.methods()), ("env", plugins.envs())):
        for name in registry:
            ConfigStore.instance().store(group=kind, name=name, node={})
        for override in groups:
            if override.key_or_group == kind:
                registry[str(override.value())]
    composed = _compose([str(override.input_line) for override in groups], with_hydra=True)
    choices = {key: str(value) for key, value in composed.hydra.runtime.choices.items() if value is not None}
    return choices, OmegaConf.select(composed, "env.task")


def _store(group: str, name: str, options: type, laid_under: Mapping[str, Any]) -> None:
    node = OmegaConf.structured(options)
    _writable(node)
    for key, value in laid_under.items():
        OmegaConf.update(node, key, value, merge=True)
    ConfigStore.instance().store(group=group, name=name, node=node)


def _smoke_words(choices: Mapping[str, str], **plug_ins: MethodSpec | EnvSpec) -> list[str]:
    """With ``debug=smoke`` the plug-ins' smoke settings as words, which win over whatever is laid under words."""
    if choices.get("debug") != "smoke":
        return []
    return [
        f"{group}.{key}={json.dumps(value)}" for group, spec in plug_ins.items() for key, value in spec.smoke.items()
    ]


def _writable(node: DictConfig) -> None:
    """Frozen dataclasses become read-only nodes, which no override could reach."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _writable(child)


def _compose(words: Sequence[str], with_hydra: bool = False) -> DictConfig:
    schema = OmegaConf.structured(RunConfig)
    _writable(schema)
    ConfigStore.instance().store(name="run_schema", node=schema)
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            return compose("train", overrides=list(words), return_hydra_config=with_hydra)
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").partition("/")
        known = sorted(option for option in error.options or () if option != "__init__")
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there is {', '.join(known) or 'none'}"
        raise InputError(f"unknown {group} {name!r}; {hint}") from None
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_explain(error)) from None


def _explain(error: BaseException) -> str:
    reason = error.__cause__ if error.__cause__ is not None else error
    key = next((line.split(":", 1)[1].strip() for line in str(reason).split("\n") if "full_key:" in line), "")
    said = first_line(reason)
    if experiment := re.fullmatch(r"In '(.*)': \w+ raised while composing config:", said):
        said = f"{experiment[1]} sets it, and {str(reason).splitlines()[1]}"
    for theirs, ours in PLAIN_WORDS.items():
        said = re.sub(theirs, ours, said)
    return f"option {key!r}: {said}" if key else said


def _check_single(overrides: Sequence[Override], hint: str) -> None:
    for override in overrides:
        if override.is_sweep_override():
            raise InputError(f"{override.input_line}: {hint}")


def _check_keys(overrides: Sequence[Override], known: Mapping[str, Any], method: MethodSpec | None = None) -> None:
    for override in overrides:
        key = override.key_or_group
        if key in GROUPS or key in known or any(other.startswith(f"{key}.") for other in known):
            continue
        if method and any(key == phase.name for other in plugins.methods().values() for phase in other.phases):
            raise _no_phase(method, key)
        close = difflib.get_close_matches(key, [*GROUPS, *known], n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else "see train.py --cfg for all of them"
        raise InputError(f"unknown option {key!r}; {hint}")


def _no_phase(method: MethodSpec, name: str) -> InputError:
    names = ", ".join(phase.name for phase in method.phases)
    return InputError(f"method {method.name!r} has no phase {name!r}; it has {names}")


def _check_phase_names(method: MethodSpec) -> None:
    taken = {item.name for item in dataclasses.fields(RunConfig)} & {phase.name for phase in method.phases}
    if taken:
        raise InputError(f"method {method.name!r} calls a phase {taken.pop()!r}, which is an option of every run")


def _check_task(env: EnvSpec, task: str, method: MethodSpec | None = None) -> None:
    """Raise InputError unless the env knows the task, and it is of a kind that the method, if there is one, takes."""
    several = method is not None and TASKS in method.requires
    distributed = several or method is None or any(phase.single_task for phase in method.phases)
    known = [*(() if several else env.tasks), *(env.distributions if distributed else ())]
    if task in known or not (env.tasks or several):
        return
    has = f"env {env.name!r} has {_described(env, several)}"
    if task in (*env.tasks, *env.distributions) and method is not None:
        needs = "a distribution of tasks" if several else "one task, not a distribution of them"
        raise InputError(f"env.task={task}: method {method.name!r} needs {needs}; {has}")
    close = difflib.get_close_matches(task, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else has
    raise InputError(f"env {env.name!r} has no task {task!r}; {hint}")


def _described(env: EnvSpec, several: bool) -> str:
    """The distributions of an env and, unless they alone are wanted, its single tasks; of many only how they look."""
    distributions = [f"distributions {', '.join(env.distributions)}"] if env.distributions else []
    tasks = [] if several or not env.tasks else [f"{len(env.tasks)} single tasks, {listed(env.tasks)}"]
    return " and ".join([*distributions, *tasks])


def _check_left(config: RunConfig, method: MethodSpec) -> None:
    """Raise InputError if no phase is left to run, or an option is given that none of those takes."""
    chosen = [phase for phase in method.phases if config.phase in (None, phase.name)]
    left = [phase for phase in chosen if phase.name not in config.sources]
    _check_given(config.sources, method, left)
    if not left:
        given = ", ".join(f"{phase.name}=" for phase in chosen)
        raise InputError(f"nothing is left to train with {given} given; leave it out, or choose another phase=")
    if config.data is not None and not any(phase.data == "offline" for phase in method.phases):
        raise InputError(
            f"data={config.data}: no phase of method {method.name!r} learns from recorded data; leave it out"
        )
    for phase in left:
        if config.collect.ahead and phase.data == "tasks":
            raise InputError(
                f"collect.ahead=true: phase {phase.name!r} of method {method.name!r} runs whole episodes of tasks, "
                "never ahead of its updates; leave it out"
            )


def _check_given(sources: Mapping[str, str], method: MethodSpec, left: Sequence[Phase]) -> None:
    """Raise InputError if a phase is given nothing, or without another one that it was trained with."""
    for name, source in sources.items():
        if not source.strip():
            raise InputError(f"{name}= is empty; give the path of a run that has it, or leave it out")
    needed = {need.phase for phase in left for need in phase.needs}
    new = needed.intersection(phase.name for phase in left)
    for phase in method.phases:
        if phase.name in needed.intersection(sources):
            for need in phase.needs:
                if need.phase in new:
                    raise InputError(
                        f"{phase.name}= needs the {need.phase} it was trained with; give {need.phase}= too"
                    )


def _freeze(config: DictConfig) -> RunConfig:
    try:
        frozen = OmegaConf.to_object(config)
    except (ValueError, OmegaConfBaseException) as error:
        raise InputError(_explain(error)) from None
    if not isinstance(frozen, RunConfig):
        raise TypeError(f"composed a {type(frozen).__name__}")
    limits.check(frozen)
    return frozen


def _default_name(overrides: Sequence[Override], choices: Mapping[str, str]) -> str:
    for group in ("debug", "experiment"):
        if choices.get(group, "None") != "None":
            return choices[group]
    told = sorted(
        str(item.input_line)
        for item in overrides
        if item.key_or_group not in ("method", "env", "env.task", "seed", "name") and not may_change(item.key_or_group)
    )
    return hashlib.sha1("\n".join(told).encode()).hexdigest()[:8] if told else "default"


def sweep(words: Sequence[str]) -> Iterator[list[str]]:
    """Every combination of comma-separated values: ``seed=0,1`` stands for two runs."""
    options = []
    for word in words:
        override = _parse(word)
        if override.is_sweep_override():
            options.append([f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()])
        else:
            options.append([word])
    return (list(job) for job in itertools.product(*options))
