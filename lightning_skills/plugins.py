"""The contract of methods and environments, and how they are found.

A plug-in is a module that exposes ``METHOD`` (a :class:`MethodSpec`) or ``ENV`` (an :class:`EnvSpec`). It must import
without torch: everything heavy is named by a ``"module:attribute"`` string and loaded by :func:`resolve` when chosen.
Plug-ins come from the folders ``methods/`` and ``envs/`` and from the entry-point groups ``lightning_skills.methods``
and ``lightning_skills.envs`` of installed distributions.
"""

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from lightning_skills import limits
from lightning_skills.errors import InputError

API_VERSION = 1
TASKS = "tasks"
"""What a method requires that needs an env with distributions of tasks."""

Overrides = Mapping[str, Any]
"""Dotted option names of a plug-in's own config and their values, e.g. ``{"skills.beta": 1e-2}``."""


def of_phase(phase: str, options: Overrides) -> dict[str, Any]:
    """Options of a phase as those of its method: ``updates`` of ``skills`` is ``skills.updates``."""
    return {f"{phase}.{key}": value for key, value in options.items()}


def resolve(reference: str) -> Any:
    """The object that ``"module:attribute"`` (or ``"module"``) names.

    Raises:
        ImportError, AttributeError: if there is no such module or attribute.
    """
    module, _, attribute = reference.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def check_options(owner: str, options: type) -> None:
    """Raise TypeError unless ``options`` is a frozen dataclass that has a default for every field."""
    if not (isinstance(options, type) and is_dataclass(options)):
        raise TypeError(f"{owner}: config must be a dataclass, not {options!r}")
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise TypeError(f"{owner}: config {options.__name__} must be frozen")
    limits.check(options(), owner)


@dataclass(frozen=True)
class Need:
    """A phase's demand for what an earlier phase hands on.

    Args:
        phase: Name of the phase that yields the artefact; also the command-line key that replaces it (``skills=PATH``).
        kind: The kind of artefact expected; another kind is an error.
    """

    phase: str
    kind: str


@dataclass(frozen=True)
class Phase:
    """One phase of a method: a LightningModule, the data that feeds it and the artefact it hands on.

    Args:
        name: Unique within the method.
        module: ``"module:Class"`` of a :class:`lightning_skills.phases.base.PhaseModule`.
        data: What feeds it: recorded trajectories, a running environment, or many tasks of one.
        yields: The kind of artefact it hands on.
        needs: Artefacts of earlier phases.
        per_task: For ``data="tasks"``: whether it runs once for each of the tasks to test on, alone in it.

    Raises:
        ValueError: if ``per_task`` is said of a phase with other data.
    """

    name: str
    module: str
    data: Literal["offline", "online", "tasks"]
    yields: str
    needs: tuple[Need, ...] = ()
    per_task: bool = False

    def __post_init__(self) -> None:
        if self.per_task and self.data != "tasks":
            raise ValueError(f"phase {self.name}: per_task is for data='tasks', not {self.data!r}")

    @property
    def acts(self) -> bool:
        """Whether it runs in an environment."""
        return self.data != "offline"

    @property
    def single_task(self) -> bool:
        """Whether it acts in one task; in a distribution it runs in one after another of those to test on."""
        return self.data == "online" or self.per_task


@dataclass(frozen=True)
class MethodSpec:
    """A registered method.

    Args:
        name: What ``method=`` selects.
        summary: One line for ``python -m lightning_skills methods``.
        paper: Where the method was published.
        config: Frozen dataclass of every option, all with defaults: one field per phase, of the phase's name, which is
            what that phase's module sees.
        phases: In order of running; each needs only earlier ones.
        requires: What an environment must provide, e.g. ``{"demonstrations"}``.
        presets: Options per environment (``"maze"``) or task (``"maze/spirl40"``), applied before the user's.
        smoke: Options that make every phase tiny, for ``debug=smoke``.

    Raises:
        TypeError: if ``config`` is not a frozen dataclass with defaults and a field per phase.
        ValueError: if phases are repeated, or need one that does not come before them.
    """

    name: str
    summary: str
    config: type
    phases: tuple[Phase, ...]
    paper: str = ""
    requires: frozenset[str] = frozenset()
    presets: Mapping[str, Overrides] = field(default_factory=dict)
    smoke: Overrides = field(default_factory=dict)
    api_version: int = API_VERSION

    def __post_init__(self) -> None:
        check_options(f"method {self.name}", self.config)
        if not self.phases:
            raise ValueError(f"method {self.name} has no phases")
        seen: dict[str, str] = {}
        for phase in self.phases:
            if phase.name in seen:
                raise ValueError(f"method {self.name}: phase {phase.name} is listed twice")
            for need in phase.needs:
                if seen.get(need.phase) != need.kind:
                    raise ValueError(
                        f"method {self.name}: phase {phase.name} needs {need.kind!r} from {need.phase!r}, "
                        f"which no earlier phase of that name yields"
                    )
            if phase.name not in {item.name for item in fields(self.config)}:
                raise TypeError(f"method {self.name}: config {self.config.__name__} has no field {phase.name!r}")
            seen[phase.name] = phase.yields

    def preset(self, env: str, task: str) -> dict[str, Any]:
        """The options this method ships for one task; what is said of the task overrules what is said of the env."""
        return {**self.presets.get(env, {}), **self.presets.get(f"{env}/{task}", {})}

    @property
    def online_phase(self) -> Phase | None:
        """The first phase that learns in one task, whose priors can be explored; None if there is none."""
        return next((phase for phase in self.phases if phase.data == "online"), None)


@dataclass(frozen=True)
class EnvSpec:
    """A registered environment.

    Args:
        name: What ``env=`` selects.
        summary: One line for ``python -m lightning_skills envs``.
        config: Frozen dataclass of every option, all with defaults; has a field ``task: str``.
        make: ``"module:function"``; ``function(config, seeds)`` returns a
            :class:`lightning_skills.data.batch_env.BatchEnv` of ``len(seeds)`` worlds.
        tasks: Names that ``config.task`` accepts; empty if it accepts whatever ``make`` does.
        distributions: Names that ``config.task`` accepts too: the worlds then have several tasks,
            :attr:`lightning_skills.data.batch_env.EnvInfo.tasks`, each of which it accepts by itself.
        provides: What methods may require of it, e.g. ``{"demonstrations"}``.
        demonstrations: Module with ``recipe(config)`` and ``generate(config)``
            (:mod:`lightning_skills.data.trajectories`), if it can make its own data; ``summary(arrays)`` may tell how
            they came out, as JSON values.
        scenes: ``"module:function"``; ``function(config, dataset)`` returns the scenes ``[N, K]`` float32 of all rows
            of a data set and their :class:`lightning_skills.data.rendering.Renderer`, or None where ``config`` asks
            for no images. For an env that offers images.
        smoke: Options that make data and episodes tiny, for ``debug=smoke``.

    Raises:
        TypeError: if ``config`` is not a frozen dataclass with defaults and a field ``task``.
    """

    name: str
    summary: str
    config: type
    make: str
    tasks: tuple[str, ...]
    distributions: tuple[str, ...] = ()
    provides: frozenset[str] = frozenset()
    demonstrations: str | None = None
    scenes: str | None = None
    smoke: Overrides = field(default_factory=dict)
    api_version: int = API_VERSION

    @property
    def provided(self) -> frozenset[str]:
        """What methods may require of it; distributions of tasks are ``"tasks"``."""
        return self.provides | {TASKS} if self.distributions else self.provides

    def __post_init__(self) -> None:
        check_options(f"env {self.name}", self.config)
        if "task" not in {item.name for item in fields(self.config)}:
            raise TypeError(f"env {self.name}: config {self.config.__name__} has no field 'task'")


Spec = TypeVar("Spec", MethodSpec, EnvSpec)


@dataclass(frozen=True)
class Source:
    """Where a plug-in comes from, before anything of it is imported."""

    name: str
    reference: str
    origin: str


def _sources(kind: Literal["method", "env"]) -> Iterator[Source]:
    attribute = kind.upper()
    folder = importlib.util.find_spec(f"{kind}s")
    for location in folder.submodule_search_locations or () if folder else ():
        for module in sorted(pkgutil.iter_modules([location]), key=lambda found: found.name):
            if module.ispkg:
                yield Source(module.name, f"{kind}s.{module.name}:{attribute}", f"folder {kind}s/{module.name}")
    for entry in sorted(entry_points(group=f"lightning_skills.{kind}s"), key=lambda found: found.name):
        distribution = entry.dist.name if entry.dist else "an unnamed distribution"
        yield Source(entry.name, entry.value, f"distribution {distribution}")


class Registry(Mapping[str, Spec]):
    """All plug-ins of one kind by name. Broken ones are kept aside in ``broken`` and harm no other."""

    def __init__(self, kind: Literal["method", "env"], spec_type: type[Spec]) -> None:
        self.kind = kind
        self.broken: dict[str, str] = {}
        self._spec_type: type[Spec] = spec_type
        self._specs: dict[str, Spec] = {}
        origins: dict[str, list[str]] = {}
        for source in _sources(kind):
            origins.setdefault(source.name, []).append(source.origin)
            if len(origins[source.name]) > 1:
                self._specs.pop(source.name, None)
                self.broken[source.name] = f"registered more than once: {', '.join(origins[source.name])}"
                continue
            try:
                self._specs[source.name] = self._load(source)
            except Exception as error:  # whatever a stranger's module raises must not take the others down
                self.broken[source.name] = f"{source.origin}: {type(error).__name__}: {error}"

    def _load(self, source: Source) -> Spec:
        spec = resolve(source.reference)
        if not isinstance(spec, self._spec_type):
            raise TypeError(f"{source.reference} is not a {self._spec_type.__name__}")
        if spec.api_version != API_VERSION:
            raise ValueError(f"written for plug-in API {spec.api_version}, this is {API_VERSION}")
        if spec.name != source.name:
            raise ValueError(f"registered as {source.name!r} but calls itself {spec.name!r}")
        return spec

    def __getitem__(self, name: str) -> Spec:
        """The plug-in of that name.

        Raises:
            InputError: if there is none (lists the close names), or it is broken (says why).
        """
        if name in self._specs:
            return self._specs[name]
        if name in self.broken:
            raise InputError(f"{self.kind} {name!r} cannot be used: {self.broken[name]}")
        close = difflib.get_close_matches(name, self._specs, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"registered: {', '.join(sorted(self._specs))}"
        raise InputError(f"unknown {self.kind} {name!r}; {hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._specs))

    def __len__(self) -> int:
        return len(self._specs)


def methods() -> "Registry[MethodSpec]":
    """Every registered method."""
    return Registry("method", MethodSpec)


def envs() -> "Registry[EnvSpec]":
    """Every registered environment."""
    return Registry("env", EnvSpec)


def check_pair(method: MethodSpec, env: EnvSpec, own_data: bool = False) -> None:
    """Raise InputError if ``env`` lacks something ``method`` requires; a data set of one's own is demonstrations."""
    provided = env.provided | {"demonstrations"} if own_data else env.provided
    missing = sorted(method.requires - provided)
    if missing:
        raise InputError(f"method {method.name!r} cannot run on env {env.name!r}: it needs {', '.join(missing)}")
