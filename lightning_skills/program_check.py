"""``python -m lightning_skills check``: whether a program is of the kind that ``export`` writes.

Loading another one may run code of its author's choice: ``torch.export.load`` unpickles sample inputs, constants and
weights, loads shared libraries, evaluates symbolic sizes and guards as Python, and puts names into code that it
executes. So everything in a file is held against lists of what our programs consist of: members of the archive, keys,
operators, and how each text looks. Nothing is evaluated, and unpickled are sample inputs alone, as tensors.
"""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

from lightning_skills.errors import InputError

PROGRAM, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
CONSTANTS, SAMPLES = "data/constants/model_constants_config.json", "data/sample_inputs/model.pt"
NEEDED = {PROGRAM, WEIGHTS, CONSTANTS, SAMPLES}
OTHERS = re.compile(
    r"data/weights/weight_\d+|archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
)
ATEN = """
add.Tensor cat.default chunk.default clamp.default eq.Scalar leaky_relu.default linear.default mul.Tensor
remainder.Scalar slice.Tensor tanh.default unsqueeze.default where.self
"""
OPERATORS = {f"torch.ops.aten.{name}" for name in ATEN.split()}
KEYS = """
arg as_expr as_float as_int as_tensor as_tensors aten config custom_obj_values device dtype expr_str forward_arg_names
fqn graph graph_module guards_code hint in_spec index input_specs inputs is_hop_single_tensor_return is_param
is_single_tensor_return kind layout major max_val metadata min_val minor module_call_graph name nodes opset_version
out_spec output_specs outputs parameter parameter_name path_name range_constraints requires_grad schema_version
signature sizes storage_offset strides sym_bool_values sym_float_values sym_int_values target tensor_meta tensor_values
torch_version treespec_namedtuple_fields type use_pickle user_input user_output verifiers
"""
EMPTY = {
    "metadata", "treespec_namedtuple_fields", "sym_int_values", "sym_bool_values", "sym_float_values",
    "custom_obj_values", "use_pickle",
}  # fmt: skip
"""Keys below which our programs have nothing, or false."""
NAME = re.compile(r"[a-z]\w*", re.ASCII | re.IGNORECASE)
PATH = re.compile(r"([a-z0-9]\w*(\.[a-z0-9]\w*)*)?", re.ASCII | re.IGNORECASE)
NAMED = {"tensor_values": NAME, "range_constraints": NAME, "config": PATH}
"""What holds things by their names, and how these look; all else is held by :data:`KEYS`."""
SIZE = r"L\['\w+'\](\[\d+\])*\.size\(\)\[\d+\]"
SPEC = r'([][{},: \d]|null|"(type|context|children_spec|builtins\.tuple|builtins\.dict|null|\[\])")*'
TEXTS = {
    "expr_str": re.compile(r"Symbol\('s\d+', positive=True, integer=True\)", re.ASCII),
    "fqn": PATH,
    "guards_code": re.compile(f"{SIZE} == {SIZE}", re.ASCII),
    "in_spec": re.compile(SPEC, re.ASCII),
    "out_spec": re.compile(SPEC, re.ASCII),
    "parameter_name": PATH,
    "torch_version": re.compile(r"[\w.+]+", re.ASCII),
}
"""How the texts at some keys look; all others are names."""


class _OtherKindError(Exception):
    """Says what there is in a file that our programs do not have."""


def check(file: Path) -> None:
    """Make sure that ``torch.export.load`` runs no code of the author's choice.

    Raises:
        InputError: if there is no such file, or it is not of the kind that ``export`` writes (says why).
    """
    try:
        for name, text in _texts(file).items():
            _check_json(json.loads(text), "", name)
    except FileNotFoundError:
        raise InputError(f"no file {file}") from None
    except _OtherKindError as error:
        why = str(error)
    except (OSError, RuntimeError, AssertionError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        why = f"it cannot be read ({type(error).__name__})"
    else:
        return
    raise InputError(f"{file} is not of the kind that export writes: {why}; to load it may run a stranger's code")


def _texts(file: Path) -> dict[str, str]:
    """The JSON in an archive whose members are those of our programs, read as ``torch.export.load`` does."""
    with zipfile.ZipFile(file) as archive:  # which torch turns to where its own reader fails
        listed = [name.partition("/")[2] for name in archive.namelist()]
    from torch.export.pt2_archive import PT2ArchiveReader

    with PT2ArchiveReader(str(file)) as reader:
        names = reader.get_file_names()
        strange = [name for name in names if name not in NEEDED and not OTHERS.fullmatch(name)]
        if strange or NEEDED - set(names):
            raise _OtherKindError(f"it has {strange[0]!r}" if strange else f"it lacks {min(NEEDED - set(names))}")
        if sorted(listed) != sorted(set(names)):
            raise _OtherKindError("its archive has other members for one reader than for another")
        if not _is_plain(reader.read_bytes(SAMPLES)):
            raise _OtherKindError("its sample inputs are not plain tensors")
        if json.loads(reader.read_string(CONSTANTS)) != {"config": {}}:
            raise _OtherKindError("it has constants, which may be pickled")
        return {name: reader.read_string(name) for name in (PROGRAM, WEIGHTS)}


def _is_plain(samples: bytes) -> bool:
    """Whether they are tensors alone, so that torch does not turn to the unpickler that runs code."""
    import torch

    try:
        inputs, keywords = torch.load(io.BytesIO(samples), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError, ValueError):
        return False
    return keywords == {} and all(type(each) is torch.Tensor for each in inputs)


def _check_json(value: Any, key: str, where: str) -> None:
    """Raise _OtherKindError if anything at or below a key is unlike what our programs have there."""
    if key in EMPTY and value:
        raise _OtherKindError(f"{where} has {key}")
    if isinstance(value, dict):
        for name, below in value.items():
            if not (NAMED[key].fullmatch(name) if key in NAMED else name in KEYS.split()):
                raise _OtherKindError(f"{where} has the key {name[:80]!r}")
            _check_json(below, "" if key in NAMED else name, where)
    elif isinstance(value, list):
        for below in value:
            _check_json(below, key, where)
    elif isinstance(value, str) and not (
        value in OPERATORS if key == "target" else TEXTS.get(key, NAME).fullmatch(value)
    ):
        raise _OtherKindError(f"{where} has the {key or 'name'} {value[:80]!r}")
