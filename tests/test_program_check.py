"""Programs that somebody else has changed: those that run code when they are loaded, and others, are refused."""

import dataclasses
import io
import json
import pickle
import subprocess
import sys
import zipfile

import pytest
import torch
from torch.export.pt2_archive import PT2ArchiveReader, PT2ArchiveWriter

from lightning_skills import __main__ as main
from lightning_skills import export
from lightning_skills.program_check import CONSTANTS, PROGRAM, SAMPLES, WEIGHTS
from tests.phases import test_skill_rl
from tests.test_strangers_files import Trap

LOAD = """
import sys, torch
for file in sys.argv[1:]:
    try:
        policy = torch.export.load(file).module()
        policy(torch.zeros(2, 3), torch.zeros(2, 5), torch.zeros(2, dtype=torch.int64))
    except Exception as error:
        print(file, repr(error)[:200], file=sys.stderr)
"""


def step_policy(**options):
    return test_skill_rl.build(dataclasses.replace(test_skill_rl.SPIRL, **options)).step_policy()


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Those of a program of ours."""
    file = tmp_path_factory.mktemp("program") / "policy.pt2"
    torch.export.save(export.program(step_policy()), file)
    with PT2ArchiveReader(str(file)) as reader:
        names = [name for name in reader.get_file_names() if name not in ("byteorder", ".data/version")]
        return {name: reader.read_bytes(name) for name in names if name != ".data/serialization_id"}


def write(file, members):
    if "version" in members:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return
    with PT2ArchiveWriter(str(file)) as writer:
        for name, content in members.items():
            writer.write_bytes(name, content)


def pickled(trap):
    buffer = io.BytesIO()
    torch.save((trap,), buffer)
    return buffer.getvalue()


def touching(trap):
    return f"__import__('pathlib').Path('{trap.file}').touch()"


def changed(members, name, change):
    tree = json.loads(members[name])
    change(tree)
    return {name: json.dumps(tree).encode()}


def sample_inputs(members, trap):
    return {SAMPLES: pickled(trap)}


def a_pickled_weight(members, trap):
    def change(tree):
        next(iter(tree["config"].values()))["use_pickle"] = True

    return changed(members, WEIGHTS, change) | {"data/weights/weight_0": pickled(trap)}


def weights_of_old(members, trap):
    return {"data/weights/model.pt": pickled(trap)}


def a_constant(members, trap):
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    constants = {CONSTANTS: json.dumps({"config": {"trap": meta}}).encode()}
    return constants | {"data/constants/opaque_obj_0": pickle.dumps(trap)}


def a_size(members, trap):
    def change(tree):
        value = tree["graph_module"]["graph"]["tensor_values"]["observation"]
        value["sizes"][0]["as_expr"]["expr_str"] = touching(trap)

    return changed(members, PROGRAM, change)


def a_guard(members, trap):
    return changed(members, PROGRAM, lambda tree: tree["guards_code"].append(f"{touching(trap)} is None"))


def the_format_of_old(members, trap):
    """torch turns to it where the members of an archive are in no folder."""
    old = {f"serialized_{name}.pt": pickled(trap) for name in ("state_dict", "constants", "example_inputs")}
    version = json.loads(members[PROGRAM])["schema_version"]
    old |= {"version": f"{version['major']}.{version['minor']}".encode()}
    return old | {"serialized_exported_program.json": members[PROGRAM]}


PLANTS = [sample_inputs, a_pickled_weight, weights_of_old, a_constant, a_size, a_guard, the_format_of_old]


@pytest.fixture(scope="module")
def planted(members, tmp_path_factory):
    """A program for each way to run code, and its trap."""
    folder = tmp_path_factory.mktemp("programs")
    found = {}
    for plant in PLANTS:
        trap = Trap(folder / f"sprung by {plant.__name__}")
        write(folder / f"{plant.__name__}.pt2", {**members, **plant(members, trap)})
        found[plant] = folder / f"{plant.__name__}.pt2", trap
    return found


def test_to_load_them_runs_what_was_planted(planted):
    files = [str(file) for file, _ in planted.values()]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True)
    assert [plant.__name__ for plant, (_, trap) in planted.items() if not trap.file.exists()] == []


def said(capsys, file):
    """What is said of a file that is refused."""
    assert main.main(["check", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file} is not of the kind that export writes: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("plant", PLANTS)
def test_they_are_refused_and_not_run(plant, planted, capsys):
    file, trap = planted[plant]
    trap.file.unlink(missing_ok=True)
    said(capsys, file)
    assert not trap.file.exists()


def with_text(old, new):
    def change(members):
        assert old in members[PROGRAM]
        return {PROGRAM: members[PROGRAM].replace(old, new)}

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda _: {"data/aotinductor/model/model.so": b""}, "it has 'data/aotinductor/model/model.so'"),
        (lambda _: {"models/other.json": b"{}"}, "it has 'models/other.json'"),
        (lambda _: {"extra/notes.txt": b""}, "it has 'extra/notes.txt'"),
        (lambda _: {PROGRAM: b"{"}, "it cannot be read"),
        (lambda _: {PROGRAM: b"[" * 100_000}, "it cannot be read"),
        (with_text(b"aten.tanh.default", b"higher_order.cond"), "the target 'torch.ops.higher_order.cond'"),
        (with_text(b"aten.tanh.default", b"aten.from_file.default"), "the target 'torch.ops.aten.from_file.default'"),
        (with_text(b'"as_int"', b'"as_operator"'), "the key 'as_operator'"),
        (with_text(b'"observation"', b'"a; b"'), "the name 'a; b'"),
        (with_text(b'"metadata": {}', b'"metadata": {"stack_trace": "a"}'), "has metadata"),
        (with_text(b"builtins.tuple", b"builtins.slice"), "has the in_spec"),
        (with_text(b"Symbol('s", b"Symbol('x"), "has the expr_str"),
        (with_text(b'"policy.0.weight"', b'"policy.__class__"'), "the parameter_name 'policy.__class__'"),
    ],
)
def test_what_ours_do_not_have_is_named(change, named, members, tmp_path, capsys):
    write(tmp_path / "policy.pt2", {**members, **change(members)})
    assert named in said(capsys, tmp_path / "policy.pt2")


def test_an_archive_with_two_faces_is_refused(members, tmp_path, capsys):
    file = tmp_path / "policy.pt2"
    write(file, members)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(archive.namelist()[0], "other")
    assert "other members for one reader" in said(capsys, file)


def test_what_is_missing_or_no_archive_is_one_line(members, tmp_path, capsys):
    write(tmp_path / "policy.pt2", {name: text for name, text in members.items() if name != WEIGHTS})
    assert f"it lacks {WEIGHTS}" in said(capsys, tmp_path / "policy.pt2")
    (tmp_path / "text.pt2").write_text("policy")
    assert "it cannot be read (BadZipFile)" in said(capsys, tmp_path / "text.pt2")
    assert main.main(["check", str(tmp_path / "none.pt2")]) == 2
    assert capsys.readouterr().err == f"error: no file {tmp_path / 'none.pt2'}\n"


@pytest.mark.parametrize("options", [{}, {"slope": 1.0}, {"bound": None, "tanh_actions": False}])
def test_ours_pass_and_say_nothing_of_the_machine_they_are_from(options, tmp_path, capsys):
    file = tmp_path / "policy.pt2"
    torch.export.save(export.program(step_policy(**options)), file)
    assert main.main(["check", str(file)]) == 0
    assert f"{file} is of the kind that export writes" in capsys.readouterr().out
    assert b"step_policy.py" not in file.read_bytes()
