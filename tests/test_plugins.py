from dataclasses import dataclass, field

import pytest

from lightning_skills import plugins
from lightning_skills.errors import InputError
from lightning_skills.plugins import EnvSpec, MethodSpec, Need, Phase, Registry, Source


@dataclass(frozen=True)
class Options:
    lr: float = 1.0


@dataclass(frozen=True)
class Config:
    first: Options = field(default_factory=Options)
    second: Options = field(default_factory=Options)


FIRST = Phase("first", "nowhere:Module", data="offline", yields="skills")


def spec(**changes):
    values = {"name": "toy", "summary": "a toy", "config": Config, "phases": (FIRST,)}
    return MethodSpec(**{**values, **changes})


def test_a_phase_may_need_only_what_an_earlier_one_yields():
    second = Phase("second", "nowhere:Module", data="online", yields="policy", needs=(Need("first", "skills"),))
    assert spec(phases=(FIRST, second)).phases[1].needs[0].phase == "first"
    with pytest.raises(ValueError, match="needs 'skills' from 'first'"):
        spec(phases=(second, FIRST))
    wrong_kind = Phase("second", "nowhere:Module", data="online", yields="policy", needs=(Need("first", "policy"),))
    with pytest.raises(ValueError, match="needs 'policy' from 'first'"):
        spec(phases=(FIRST, wrong_kind))


def test_phases_are_named_once_and_have_options():
    with pytest.raises(ValueError, match="listed twice"):
        spec(phases=(FIRST, FIRST))
    with pytest.raises(TypeError, match="no field 'third'"):
        spec(phases=(Phase("third", "nowhere:Module", data="offline", yields="skills"),))


def test_options_are_a_frozen_dataclass_with_defaults():
    @dataclass
    class Thawed:
        first: int = 0

    @dataclass(frozen=True)
    class WithoutDefault:
        first: int

    with pytest.raises(TypeError, match="must be frozen"):
        spec(config=Thawed)
    with pytest.raises(TypeError, match="first"):
        spec(config=WithoutDefault)
    with pytest.raises(TypeError, match="must be a dataclass"):
        spec(config=dict)
    with pytest.raises(TypeError, match="no field 'task'"):
        EnvSpec(name="e", summary="s", config=Config, make="nowhere:make", tasks=())


def test_a_task_preset_overrules_the_env_preset():
    method = spec(presets={"maze": {"first.lr": 2.0, "second.lr": 3.0}, "maze/small": {"first.lr": 4.0}})
    assert method.preset("maze", "small") == {"first.lr": 4.0, "second.lr": 3.0}
    assert method.preset("maze", "large") == {"first.lr": 2.0, "second.lr": 3.0}
    assert method.preset("kitchen", "any") == {}


def registry(monkeypatch, **modules):
    """A registry over in-memory plug-ins; a value is a spec, an exception to raise, or a list of both."""
    sources, loaded = [], {}
    for name, values in modules.items():
        for index, value in enumerate(values if isinstance(values, list) else [values]):
            reference = f"{name}_{index}"
            loaded[reference] = value
            sources.append(Source(name, reference, f"distribution {reference}"))

    def resolve(reference):
        if isinstance(loaded[reference], Exception):
            raise loaded[reference]
        return loaded[reference]

    monkeypatch.setattr(plugins, "_sources", lambda kind: iter(sources))
    monkeypatch.setattr(plugins, "resolve", resolve)
    return Registry("method", MethodSpec)


def test_a_broken_plugin_harms_no_other(monkeypatch):
    found = registry(monkeypatch, toy=spec(), bad=RuntimeError("boom"), odd=object())
    assert list(found) == ["toy"]
    with pytest.raises(InputError, match="method 'bad' cannot be used: distribution bad_0: RuntimeError: boom"):
        found["bad"]
    with pytest.raises(InputError, match="not a MethodSpec"):
        found["odd"]


def test_a_name_registered_twice_is_nobodys(monkeypatch):
    found = registry(monkeypatch, toy=[spec(), spec()])
    with pytest.raises(InputError, match="registered more than once: distribution toy_0, distribution toy_1"):
        found["toy"]


def test_another_api_version_or_name_is_refused(monkeypatch):
    found = registry(monkeypatch, toy=spec(api_version=99), alias=spec())
    with pytest.raises(InputError, match="plug-in API 99, this is 1"):
        found["toy"]
    with pytest.raises(InputError, match="registered as 'alias' but calls itself 'toy'"):
        found["alias"]


def test_an_unknown_name_lists_close_ones():
    with pytest.raises(InputError, match="did you mean spirl"):
        plugins.methods()["spril"]
    with pytest.raises(InputError, match=r"registered: .*maze"):
        plugins.envs()["xyzzy"]


def test_the_installed_sample_distribution_is_found():
    assert plugins.methods()["reward_weighted"].phases[0].name == "policy"
    assert plugins.envs()["target"].tasks == ("near", "far")


def test_a_method_that_the_env_cannot_serve():
    methods, envs = plugins.methods(), plugins.envs()
    plugins.check_pair(methods["spirl"], envs["maze"])
    with pytest.raises(InputError, match="'spirl' cannot run on env 'target': it needs demonstrations"):
        plugins.check_pair(methods["spirl"], envs["target"])
