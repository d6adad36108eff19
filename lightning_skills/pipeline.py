"""Runs a method's phases in order: hands each what it needs, resumes, and closes with an evaluation and pictures."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from lightning_skills import models, summaries
from lightning_skills.artefacts import Artefact
from lightning_skills.checkpoint import Checkpoints
from lightning_skills.closing import close
from lightning_skills.config_tree import defining, flatten
from lightning_skills.csv_file import FIRST_COLUMNS, METRICS, CsvFile
from lightning_skills.data import trajectories
from lightning_skills.data.batch_env import BatchEnv, EnvInfo
from lightning_skills.data.collected import CollectedData
from lightning_skills.data.demonstrations import demonstrations
from lightning_skills.data.offline import OfflineData
from lightning_skills.data.online import OnlineData
from lightning_skills.data.rendering import SCENE, Renderer
from lightning_skills.data.tasks import MAX_WORLDS, TaskData
from lightning_skills.data.trajectories import Dataset
from lightning_skills.errors import InputError
from lightning_skills.evaluation.interim import InterimEvaluation
from lightning_skills.evaluation.protocol import final
from lightning_skills.mlflow_ledger import Ledger
from lightning_skills.mlflow_writer import Status
from lightning_skills.parts import Part, parts
from lightning_skills.phases.base import PhaseContext, PhaseModule
from lightning_skills.phases.meta_train import MetaTrainModule
from lightning_skills.plugins import resolve
from lightning_skills.progress import Progress
from lightning_skills.ranks import Ranks, join, leave, meet
from lightning_skills.rows import EPISODE_COLUMNS, Rows
from lightning_skills.run_folder import check_folder, claim_folder, has_artefact, record_config, said_finished
from lightning_skills.run_options import Run
from lightning_skills.signals import Interrupted, StopSignals, interruptible, keep_from_signals
from lightning_skills.tracking import MLflowTracker, Model, check

Built = tuple[PhaseModule, OfflineData | CollectedData]


class Recorded(NamedTuple):
    """Recorded trajectories and, of an env that offers images, what draws their scenes."""

    dataset: Dataset
    renderer: Renderer | None


def execute(run: Run) -> None:
    """Train every phase that is not finished yet, then evaluate and report.

    Raises:
        InputError: if something the user gave is wrong.
        Interrupted: if a signal stopped it; the same command goes on.
    """
    run = models.pinned(run)
    ranks = join(run.config.trainer)
    try:
        Pipeline(run, ranks).execute()
    finally:
        leave()


class Pipeline:
    """One run.

    Args:
        run: What to run.
        ranks: Which of its processes this is.

    Raises:
        InputError: if there is no such device, or the environment cannot be made.
    """

    def __init__(self, run: Run, ranks: Ranks | None = None) -> None:
        self._run, self._config, self._directory = run, run.config, run.directory
        self._ranks = ranks or Ranks()
        chosen, there = run.config.trainer.accelerator, torch.cuda.is_available()
        if chosen == "gpu" and not there:
            raise InputError("trainer.accelerator is 'gpu', and torch finds none here; choose cpu or auto")
        # Lightning's own "auto" would take Apple's GPU, which has no float64.
        self._accelerator = "gpu" if there and chosen != "cpu" else "cpu"
        threads = run.config.trainer.threads
        if threads or self._ranks.local_size > 1:
            torch.set_num_threads(threads or max(torch.get_num_threads() // self._ranks.local_size, 1))
        self._make_env = resolve(run.env.make)
        self.probe = self.worlds([0])
        self._info = _tested(self.probe.info, run.config.evaluation.tasks)
        self.parts = parts(run.method.phases, self._info.tasks)

    def execute(self) -> None:
        """Run the parts that are left."""
        check_folder(self._run)
        chosen = [part for part in self.parts if self._config.phase in (None, part.phase.name)]
        left = [part for part in chosen if not self._finished(part) and part.phase.name not in self._config.sources]
        if not left:
            if self._ranks.zero:
                print(said_finished(self._run))
                record_config(self._run)
                self._settle_late()
            return
        with self._ranks.zero_first():
            if self._config.logging.mlflow and self._ranks.zero:
                check(self._config.logging.tracking_uri, self._config.logging.experiment, Path(self._config.runs_dir))
            if any(part.phase.acts for part in left):
                self.probe.get_state()  # an environment whose state cannot be saved says so now, not at a checkpoint
            recorded = self._recorded() if any(part.phase.data == "offline" for part in left) else None
            # Bad input shows while the first part is built; only then is anything written.
            ready: Built | None = self._build(left[0], recorded)
            claim = claim_folder(self._run) if self._ranks.zero else nullcontext()
        with claim, interruptible():
            if self._ranks.zero:
                print(f"writes to   {self._directory}", flush=True)
            tracker: MLflowTracker | None = None
            status: Status = "FAILED"
            try:
                if self._config.logging.mlflow and self._ranks.zero:
                    tracker = self._open_tracker()
                    tracker.settle()
                    self._hand_on_again(tracker)
                if tracker is not None and recorded is not None:
                    tracker.log_dataset(recorded.dataset.path, recorded.dataset.digest)
                for part in left:
                    module, data = ready or self._build(part, recorded)
                    ready = None
                    self._fit(part, module, data, tracker)
                    if self._ranks.zero:
                        self._finish(part, module, tracker, last=part is left[-1])
                    meet()
            except Interrupted:
                status = "KILLED"
                raise
            finally:
                if tracker is not None:
                    # The signal may have come when all was done, and the same command finds nothing left to do.
                    self._hand_on_again(tracker)
                    tracker.close("FINISHED" if all(map(self._finished, left)) else status)

    def _finish(self, part: Part, module: PhaseModule, tracker: MLflowTracker | None, last: bool) -> None:
        if part.phase.acts:
            self._evaluate(part, module)
        if last:  # before the artefact, by which a part counts as finished
            close(self._run, self.probe, tracker)
        replace(module.artefact(), built_on=module.context.built_on).save(self._artefact_path(part.name))
        if tracker is not None:
            self._hand_on(part, tracker)

    def _settle_late(self) -> None:
        """Send what MLflow did not take while the run was training."""
        if self._config.logging.mlflow and Ledger(self._directory).owes():
            with claim_folder(self._run):
                tracker = self._open_tracker(finished=True)
                self._hand_on_again(tracker)
                tracker.close("FINISHED")

    def _hand_on_again(self, tracker: MLflowTracker) -> None:
        """Of parts that are finished; killed after its artefact was written, one may not have said so."""
        for part in self.parts:
            if tracker.owed(part.name) and self._finished(part):
                self._hand_on(part, tracker)

    def _hand_on(self, part: Part, tracker: MLflowTracker) -> None:
        tracker.finished(part.name, self._model(part) if self._config.logging.register else None)

    def _model(self, part: Part) -> Model:
        phase = part.phase
        # What a part has learned is the model of a run of its task alone.
        run = replace(self._run, config=replace(self._config, env=self._env_options(part.task)))

        def write(folder: Path) -> None:  # from the run's own files, whenever the store takes it
            own = Artefact.load(self._artefact_path(part.name), phase.yields)
            models.write(folder, run, {**self._needed(part), phase.name: own})

        return models.model_name(run, phase.name), write

    def _open_tracker(self, finished: bool = False) -> MLflowTracker:
        run, config = self._run, self._config
        where = self._directory.relative_to(config.runs_dir)
        return MLflowTracker.open(
            run_dir=self._directory,
            runs_dir=Path(config.runs_dir),
            tracking_uri=config.logging.tracking_uri,
            experiment=config.logging.experiment,
            run_name=str(where),
            params=flatten(run.resolved()),
            tags={
                "method": run.method.name,
                "env": run.env.name,
                "task": config.env.task,
                "seed": str(config.seed),
                "world_size": str(self._ranks.size),
            },
            system_metrics=config.logging.system_metrics,
            finished=finished,
        )

    def _env_options(self, task: str | None) -> Any:
        return self._config.env if task is None else replace(self._config.env, task=task)

    def worlds(self, seeds: Sequence[int], task: str | None = None) -> BatchEnv:
        """One world of the run's environment per seed, in another task than the run's if one is given."""
        return self._make_env(self._env_options(task), seeds)

    def _recorded(self) -> Recorded:
        config, env = self._config, self._run.env
        if config.data is not None:
            dataset = trajectories.load(Path(config.data))
        else:
            dataset = demonstrations(env, config.env, Path(config.data_dir), config.logging.progress)
        trajectories.validate(dataset)
        self._check_width(dataset, "action", self._info.action_dim)
        seen = resolve(env.scenes)(config.env, dataset) if env.scenes else None
        if seen is None:
            self._check_width(dataset, "observation", self._info.state_dim)
            return Recorded(dataset, None)
        scenes, renderer = seen  # models see these alone, so states may be of another width
        return Recorded(replace(dataset, steps={**dataset.steps, SCENE: scenes}), renderer)

    def _check_width(self, dataset: Dataset, key: str, size: int) -> None:
        width = dataset.steps[key].shape[1]
        if width != size:
            raise InputError(f"data set {dataset.path}: {key} has width {width}, env {self._run.env.name!r} has {size}")

    def _artefact_path(self, part: str) -> Path:
        return self._directory / "artefacts" / part

    def _finished(self, part: Part) -> bool:
        return has_artefact(self._run, part.name)

    def _needed(self, part: Part) -> dict[str, Artefact]:
        artefacts = {}
        for need in part.phase.needs:
            path = self._artefact_path(need.phase)
            if need.phase in self._config.sources:
                path = models.local(self._config.sources[need.phase], self._config)
                if not (path / "artefact.json").exists():  # a run or a model that has it
                    path = path / "artefacts" / need.phase
            if not path.exists():
                hint = f"train it first, or give {need.phase}=PATH of a run that has it"
                raise InputError(f"phase {part.phase.name!r} needs {need.kind!r}, and there is none at {path}; {hint}")
            artefacts[need.phase] = Artefact.load(path, need.kind)
            _check_defining(need.phase, getattr(self._config.method, need.phase), artefacts[need.phase], path)
        _check_kinship(artefacts)
        return artefacts

    def module(self, part: Part, recorded: Recorded | None = None) -> PhaseModule:
        """A phase as it is before its first update; random streams are seeded anew.

        Args:
            part: Which.
            recorded: What an offline phase trains on.

        Raises:
            InputError: if an artefact it needs is missing or does not fit.
        """
        config, phase = self._config, part.phase
        seed_everything(config.seed if part.task is None else self._seeds(part, 1, stream=3)[0], verbose=False)
        probe = self.probe if part.task is None else self.worlds([0], part.task)
        info = self._info if part.task is None else probe.info
        drawn = probe if phase.acts else recorded
        context = PhaseContext(
            options=getattr(config.method, phase.name),
            env=info,
            artefacts=self._needed(part),
            worlds=self._worlds(part),
            world_size=self._ranks.size,
            renderer=None if drawn is None else drawn.renderer,
        )
        module: PhaseModule = resolve(phase.module)(context)
        return module.train()  # so that frozen parts are in eval mode before anything acts

    def _build(self, part: Part, recorded: Recorded | None) -> Built:
        module = self.module(part, recorded)
        if not self._ranks.zero:  # modules start equal, what they draw from now on must not be
            torch.manual_seed(self._seeds(part, self._ranks.size, stream=2)[self._ranks.rank])
        if part.phase.acts:
            worlds = self._worlds(part)
            first = worlds * self._ranks.rank
            env = self.worlds(self._seeds(part, first + worlds)[first:], part.task)
            if isinstance(module, MetaTrainModule):
                return module, TaskData(module, env, self._ranks.rank)
            return module, OnlineData(module, env, self._config.collect.ahead)
        assert recorded is not None
        return module, OfflineData(module, recorded.dataset)

    def _worlds(self, part: Part) -> int:
        """Worlds that step together on this rank."""
        chosen = self._config.collect.worlds
        if chosen is not None or part.phase.data != "tasks" or part.phase.per_task:
            return chosen or 1
        assert self._info.tasks is not None
        return min(-(-len(self._info.tasks.train) // self._ranks.size), MAX_WORLDS)

    def _seeds(self, part: Part, count: int, stream: int = 1) -> list[int]:
        index = self._run.method.phases.index(part.phase)
        place = [] if part.task is None else [1 + self.parts.index(part)]
        # The stream keeps these apart from the evaluation's: trailing zeros would not count.
        return np.random.SeedSequence([self._config.seed, index, stream, *place]).generate_state(count).tolist()

    def _fit(
        self, part: Part, module: PhaseModule, data: OfflineData | CollectedData, tracker: MLflowTracker | None
    ) -> None:
        options, online = self._config.logging, isinstance(data, CollectedData)
        csv = CsvFile(self._directory / METRICS, FIRST_COLUMNS) if self._ranks.zero else None
        episodes = CsvFile(self._directory / "episodes.csv", EPISODE_COLUMNS) if self._ranks.zero else None
        every = options.every_frames if online else options.every_updates
        rows = Rows(part.name, csv, every, data if isinstance(data, CollectedData) else None, episodes)
        worlds, folder = partial(self.worlds, task=part.task), self._directory / "evaluations" / part.name
        protocol = self._config.evaluation
        watched = online and protocol.interim_every is not None
        evaluation = InterimEvaluation(protocol, worlds, rows, folder) if watched else None
        stop = StopSignals()
        checkpoints = Checkpoints(
            self._directory / "checkpoints" / part.name,
            self._owner(part, module, data),
            data,
            rows,
            self._config.checkpoint.every_minutes,
            stop,
            evaluation,
            self._config.resume.reshard,
        )
        # The order is the order of work after an update: what a checkpoint must hold comes before it.
        callbacks: list[Callback] = [rows, *([evaluation] if evaluation else [])]
        if options.progress and self._ranks.zero:
            callbacks.append(Progress(part.name, "env frames" if online else "updates", rows))
        logger = None if tracker is None else tracker.phase(part.name)
        trainer = Trainer(
            accelerator=self._accelerator,
            **self._ranks.strategy(),
            max_epochs=1,
            logger=logger or False,
            callbacks=[*callbacks, checkpoints],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            default_root_dir=self._directory,
        )
        keep_from_signals(trainer)
        checkpoint = checkpoints.restore()
        if checkpoint is not None and self._ranks.zero:
            print(f"resumes at  {checkpoint.parent}", flush=True)
        with stop:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        if not module.updates:
            raise InputError(f"phase {part.name!r} ended without an update: its warm-up takes all of its frames")

    def _owner(self, part: Part, module: PhaseModule, data: OfflineData | CollectedData) -> dict[str, Any]:
        return {
            "phase": part.name,
            "world_size": self._ranks.size,
            "data_set": data.digest if isinstance(data, OfflineData) else None,
            "built_on": module.context.built_on,
            "config": defining(self._run.resolved()),
        }

    def _evaluate(self, part: Part, module: PhaseModule) -> None:
        options = self._config.evaluation
        folder = summaries.folder(self._directory, part)
        result = final(module, partial(self.worlds, task=part.task), options)
        result.save(folder / "evaluation.npz")
        counters = {"env_frames": module.env_frames, "updates": module.updates}
        summary = {**summaries.judged(part.name, result), **counters}
        summaries.write(folder, summary)
        if part.phase is not self._run.method.phases[-1]:  # the run's own is to be another phase's
            summaries.write(summaries.earlier(self._directory, part.name), summary)
        together = [each for each in self.parts if each.phase == part.phase]
        if part.task is not None and all(self._finished(each) for each in together if each != part):
            summaries.write(self._directory, summaries.over_tasks(self._directory, together))


def _check_defining(phase: str, options: Any, artefact: Artefact, path: Path) -> None:
    """Raise InputError if the options say that a phase learns something else than what is taken for it."""
    for name in getattr(options, "defining", ()):
        here = getattr(options, name)
        if (there := artefact.settings.get(name, here)) != here:
            raise InputError(f"{path} holds {phase} of {name} {there!r}, and method.{phase}.{name} is {here!r}")


def _check_kinship(artefacts: Mapping[str, Artefact]) -> None:
    """Raise InputError if one was built on another one than that given beside it, such as a policy on other skills."""
    for name, artefact in artefacts.items():
        for phase, digest in artefact.built_on.items():
            if phase in artefacts and artefacts[phase].digest != digest:
                raise InputError(
                    f"{artefact.place} holds {name} trained with other {phase} than those in {artefacts[phase].place}"
                )


def _tested(info: EnvInfo, tasks: int | None) -> EnvInfo:
    """Of an env with a distribution, what it is with as many tasks to test on."""
    return info if info.tasks is None else replace(info, tasks=info.tasks.tested(tasks))
