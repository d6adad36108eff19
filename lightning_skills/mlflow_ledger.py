"""What a run has in each tracking store and what it still owes there: ``mlflow.json`` in the run's folder.

A debt is written down before it is paid and crossed out afterwards. A kill between the two leaves one that was paid, so
whoever pays looks first at what the store has.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_skills import files

MLFLOW_FILE = "mlflow.json"


@dataclass
class Account:
    """A run in one store.

    Args:
        parent: Id of the parent run.
        phases: Ids of the phases' runs.
        models: The registered model of each phase, ``models:/NAME/VERSION``.
        owed: What the store has not got, in the order in which it came to be owed: of what kind, and of which phase or
            file if there are several of the kind; and what is needed to pay it, null as long as that is not known.
    """

    parent: str = ""
    phases: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    owed: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """The accounts of a run, one for each store that it was ever tracked in.

    They are told apart by the id of the parent run, which no other store knows: a database may move.

    Args:
        run_dir: Folder of the run.

    Raises:
        InputError: if its ``mlflow.json`` is damaged.
    """

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / MLFLOW_FILE
        self.accounts: list[Account] = []
        if self._file.exists():
            with files.advised("delete it to track this run anew"), files.reading(self._file):
                self.accounts = [_read(account) for account in json.loads(self._file.read_text())]

    def save(self) -> None:
        """Write it down; a kill leaves the old or the new.

        Raises:
            InputError: if it cannot be written.
        """
        files.write(self._file, json.dumps([dataclasses.asdict(account) for account in self.accounts], indent=2))

    def owes(self) -> bool:
        """Whether any store has not got all."""
        return any(account.owed for account in self.accounts)


def _read(fields: Mapping[str, Any]) -> Account:
    account = Account(**fields)
    if not all(isinstance(part, dict) for part in (account.phases, account.models, account.owed)):
        raise TypeError
    return account
