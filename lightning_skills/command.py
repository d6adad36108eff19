"""The command ``train.py``: reads the words, runs one job or a sweep, and turns outcomes into exit statuses."""

import atexit
import errno
import gc
import itertools
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightning_skills.errors import InputError, LostRankError
from lightning_skills.launch import BAD_INPUT, STOPPED, one_of_several, program, run_job, run_ranks
from lightning_skills.parent import stop_with_parent

if TYPE_CHECKING:
    from lightning_skills.run_options import Run

HELP = """\
usage: train.py method=NAME env=NAME [key=value ...]

Trains every phase of a method; the same command again resumes, or says that it is finished.

  method=spirl env=maze          what to train and where; `python -m lightning_skills methods` and `envs` list them
  env.task=NAME                  one of the env's tasks
  seed=0  name=NAME  runs_dir=runs
                                 the run's folder is runs_dir/<method>/<env>-<task>/<name>/seed<k>
  phase=rl skills=RUN            one phase only, with the artefact of another run, or of models:/NAME/VERSION
  data=PATH                      a data set to use instead of the env's own
  experiment=NAME                the settings of a paper's experiment or of a table of ours (conf/experiment/)
  debug=smoke                    every phase, tiny
  method.rl.lr=1e-4 ...          any option

  -m                             sweep: comma-separated values, one process per job (-m method=spirl,sac seed=0,1,2)
  --cfg                          print the resolved config and stop
  --help                         this text

exit status: 0 done, 2 bad input, 130 or 143 stopped by a signal after a checkpoint, 1 anything else
"""

OURS = {"lightning_skills", "methods", "envs"}
FULL_DISK = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}


def train(words: Sequence[str] | None = None) -> int:
    """The command line of ``train.py``; returns the exit status."""
    stop_with_parent()
    words = list(sys.argv[1:] if words is None else words)
    if "--help" in words or "-h" in words:
        print(HELP)
        return 0
    return guard(lambda: _sweep([word for word in words if word != "-m"]) if "-m" in words else _train(words))


def guard(work: Callable[[], int]) -> int:
    """Run ``work``; bad input, missing packages, a full disk and stop signals become one line and an exit status."""
    # At exit Python looks for cycles among all that was imported, for seconds, to free what the system frees at once.
    atexit.register(gc.freeze)
    try:
        return work()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except LostRankError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in OURS:
            raise
        hint = "activate the environment that the project is installed in, or: pip install -e ."
        print(f"error: {sys.executable} has no package {package!r}; {hint}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is still buffered must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        print(f"error: cannot write {error.filename or 'output'}: {os.strerror(error.errno)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130


class Tolerance:
    """Lets a command that is given several things go on without those that are bad.

    Attributes:
        status: The exit status: bad input as soon as there was one.
    """

    def __init__(self) -> None:
        self.status = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """What is wrong with the input inside is said, and no more."""
        try:
            yield
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            self.status = BAD_INPUT


def starting() -> None:
    """Tell whoever waits at a terminal that imports take seconds; of several processes, the first one has."""
    if sys.stderr.isatty() and not one_of_several():
        print("starting ...", file=sys.stderr, flush=True)


def _train(words: Sequence[str]) -> int:
    if "--cfg" not in words:
        starting()
    from lightning_skills import config

    run = config.load([word for word in words if word != "--cfg"])
    if "--cfg" in words:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(OmegaConf.create(run.resolved())))
        return 0
    from lightning_skills.run_folder import is_finished, said_finished

    if not one_of_several() and is_finished(run):  # said before the imports that training takes
        print(said_finished(run))
        return 0
    if run.config.trainer.devices > 1 and not one_of_several():
        return run_ranks(words, run.config.trainer.devices)
    from lightning_skills.quiet import quiet

    quiet()
    from lightning.pytorch.utilities import rank_zero_only

    from lightning_skills.pipeline import execute
    from lightning_skills.signals import Interrupted

    try:
        execute(run)
    except Interrupted as stop:
        rank_zero_only(print)(f"{stop}; the same command goes on", file=sys.stderr)
        return 128 + stop.signum
    return 0


def _sweep(words: Sequence[str]) -> int:
    from lightning_skills import config

    jobs = list(config.sweep(words))
    runs = [config.load(job) for job in jobs]
    outcomes: list[int] = []
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {' '.join(job)}", flush=True)
        outcomes.append(run_job(job))
        if outcomes[-1] in STOPPED:
            break
    for job, status in itertools.zip_longest(jobs, outcomes):
        outcome = {0: "done", None: "not run"}.get(status, f"exit {status}")
        print(f"{outcome:>9}  {' '.join(job)}")
    if any(outcomes) or len(outcomes) < len(jobs):
        print(f"{'go on':>9}  {shlex.join([*program(), '-m', *words])}")
    following = _to_compare([run for run, status in zip(runs, outcomes, strict=False) if status == 0])
    if following:
        print(f"{'next':>9}  {shlex.join(following)}")
    return max(outcomes)


def _to_compare(runs: "Sequence[Run]") -> list[str]:
    """The command that compares runs: by evaluations or, before there are any, by where priors lead; [] if neither."""
    acted = [
        run for run in runs if any(phase.acts and run.config.phase in (None, phase.name) for phase in run.method.phases)
    ]
    compared = acted or [run for run in runs if run.method.online_phase is not None]
    seeds = dict.fromkeys(str(run.directory.parent) for run in compared)
    return ["python", "-m", "lightning_skills", "report" if acted else "explore", *seeds] if seeds else []
