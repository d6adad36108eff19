"""What a phase hands on to the phases after it, and to users: a folder of plain data that runs no code when read."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lightning_skills.errors import InputError

FORMAT = 1


@dataclass(frozen=True)
class Artefact:
    """A declared kind, the settings that rebuild its networks, and their tensors.

    On disk: ``artefact.json`` (format, kind, settings) and ``model.safetensors``.

    Args:
        kind: What it is, e.g. ``"skills"``; phases state the kind they need.
        settings: JSON values from which the networks are rebuilt.
        tensors: Their parameters and buffers.
    """

    kind: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the folder ``path``; it appears whole or not at all."""
        beside = path.with_name(path.name + ".tmp")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()},
            beside / "model.safetensors",
        )
        description = {"format": FORMAT, "kind": self.kind, "settings": dict(self.settings)}
        (beside / "artefact.json").write_text(json.dumps(description, indent=2))
        shutil.rmtree(path, ignore_errors=True)
        beside.rename(path)

    @classmethod
    def load(cls, path: Path, kind: str) -> "Artefact":
        """Read the folder ``path``.

        Raises:
            InputError: if it is missing, unreadable, of another format or of another kind.
        """
        try:
            description = json.loads((path / "artefact.json").read_text())
            tensors = load_file(path / "model.safetensors")
        except FileNotFoundError as error:
            raise InputError(f"{path} is no artefact: {Path(error.filename or path).name} is missing") from None
        except (json.JSONDecodeError, SafetensorError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} cannot be read as an artefact ({error}); train it again or take a whole copy"
            ) from None
        if not isinstance(description, dict) or not {"format", "kind", "settings"} <= description.keys():
            raise InputError(f"{path} cannot be read as an artefact: artefact.json lacks format, kind or settings")
        if description["format"] != FORMAT:
            raise InputError(f"{path} has artefact format {description['format']}, this version reads {FORMAT}")
        if description["kind"] != kind:
            raise InputError(f"{path} holds {description['kind']!r}, but {kind!r} is needed here")
        return cls(kind, description["settings"], tensors)
