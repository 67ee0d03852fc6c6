"""Runs of an experiment as jobs of a Slurm cluster, through submitit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from vlprompt.apis.few_shot.execute import Result, as_finished, execute, outcome_of, sigterm_ends
from vlprompt.apis.few_shot.protocols import FewShotRun
from vlprompt.errors import ConfigError, RunError

LOGS = 'slurm'
POLL = 1.0
"""Seconds between two looks at a job."""


class SlurmPool:
    """Submits every run as one job and waits for all of them.

    While it waits, it has to stay alive: Ctrl-C and ``SIGTERM`` cancel all jobs that have not finished, those in the
    queue too, and end it at once.  What was saved stays, and the same command continues it.  ``SIGKILL`` and a machine
    that goes down leave the jobs to the cluster.

    Args:
        work_dir: of the experiment, on a file system that all nodes see.
        partition: of the cluster; ``'local'`` runs the jobs as processes of this machine, for a trial.
        options: ``KEY=VALUE``, parameters of submitit's executor.  By default a job has one GPU and ends after a day;
            the same command continues what was ended.

    Raises:
        ConfigError: submitit is not installed, or an option is not KEY=VALUE.
    """

    def __init__(self, work_dir: Path, partition: str, options: Sequence[str] = ()) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError('--slurm needs the package submitit: pip install submitit') from error
        self.work_dir = work_dir
        local = partition == 'local'
        parameters: dict[str, Any] = dict(timeout_min=24 * 60, gpus_per_node=1, tasks_per_node=1)
        parameters |= {} if local else dict(slurm_partition=partition)
        for option in options:
            key, given, value = option.partition('=')
            if not given:
                raise ConfigError(f'--slurm-options: {option!r} is not KEY=VALUE')
            parameters[key] = int(value) if value.isdigit() else value
        self._executor = submitit.AutoExecutor(work_dir / LOGS, cluster='local' if local else 'slurm')
        self._executor.update_parameters(**parameters)

    def __call__(self, runs: Sequence[FewShotRun]) -> Iterator[tuple[FewShotRun, Result | RunError]]:
        """The runs as they finish, with their results or with what went wrong.

        If the caller goes no further, as after Ctrl-C or ``SIGTERM``, jobs that have not finished are cancelled.
        """
        with sigterm_ends():
            with self._executor.batch():
                jobs = {run: self._executor.submit(execute, run, self.work_dir) for run in runs}
            closed = Event()

            def one(run: FewShotRun) -> Result | RunError:
                while not jobs[run].done() and not closed.wait(POLL):  # a job's own wait() would know of no end
                    pass
                return outcome_of(run, self.work_dir, Path(jobs[run].paths.stderr))

            try:
                if runs:
                    yield from as_finished(one, runs, len(runs))
            finally:
                closed.set()
                for job in jobs.values():
                    if not job.done():
                        job.cancel(check=False)
