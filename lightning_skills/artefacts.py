"""What a phase hands on to the phases after it, and to users: a folder of plain data that runs no code when read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lightning_skills.errors import InputError
from lightning_skills.files import advised, read_json, reading, whole

FORMAT = 1
DESCRIPTION, TENSORS = "artefact.json", "model.safetensors"


@dataclass(frozen=True)
class Artefact:
    """A declared kind, the settings that rebuild its networks, and their tensors.

    On disk: ``artefact.json`` (format, kind, settings, built_on) and ``model.safetensors``.

    Args:
        kind: What it is, e.g. ``"skills"``; phases state the kind they need.
        settings: JSON values from which the networks are rebuilt.
        tensors: Their parameters and buffers.
        built_on: Digests of the artefacts that its phase was given, by phase name.
        place: Where it was read from, for messages.
    """

    kind: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    built_on: Mapping[str, str] = field(default_factory=dict)
    place: Path | None = field(default=None, compare=False)

    @property
    def named(self) -> str:
        """What it is called in messages."""
        return f"the artefact {self.kind!r}" + (f" in {self.place}" if self.place else "")

    @cached_property
    def digest(self) -> str:
        """Of kind, settings and tensors, wherever they lie."""
        told = hashlib.sha256(json.dumps([self.kind, dict(self.settings)], sort_keys=True).encode())
        for name, tensor in sorted(self.tensors.items()):
            told.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            told.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return told.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the folder ``path``; it appears whole or not at all.

        Raises:
            InputError: if it cannot be written.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        description = {
            "format": FORMAT,
            "kind": self.kind,
            "settings": dict(self.settings),
            "built_on": dict(self.built_on),
        }
        with whole(path) as beside:
            beside.mkdir()
            save_file(tensors, beside / TENSORS)
            (beside / DESCRIPTION).write_text(json.dumps(description, indent=2))

    @classmethod
    def load(cls, path: Path, kind: str) -> "Artefact":
        """Read the folder ``path``.

        Raises:
            InputError: if it is missing, unreadable, of another format or of another kind.
        """
        with advised(f"take a whole copy, or delete {path}, and its run's command makes it again"):
            description = read_json(path / DESCRIPTION)
            with reading(path / TENSORS):
                tensors = load_file(path / TENSORS)
            with reading(path / DESCRIPTION):
                if not {"format", "kind", "settings"} <= description.keys():
                    raise ValueError("it lacks format, kind or settings")
                built_on = description.get("built_on", {})  # which earlier versions did not write
                if not isinstance(description["settings"], dict) or not isinstance(built_on, dict):
                    raise TypeError("its settings, or what it is built on, are no object")
        if description["format"] != FORMAT:
            raise InputError(f"{path} has artefact format {description['format']}, this version reads {FORMAT}")
        if description["kind"] != kind:
            raise InputError(f"{path} holds {description['kind']!r}, but {kind!r} is needed here")
        return cls(kind, description["settings"], tensors, built_on, path)
