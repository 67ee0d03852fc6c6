"""Runs of an experiment as jobs of a Slurm cluster, through submitit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vlprompt.apis.few_shot.execute import Result, as_finished, execute, result_of
from vlprompt.apis.few_shot.protocols import FewShotRun
from vlprompt.errors import ConfigError, RunError

LOGS = 'slurm'


class SlurmPool:
    """Submits every run as one job and waits for all of them.

    Args:
        work_dir: of the experiment, on a file system that all nodes see.
        partition: of the cluster; ``'local'`` runs the jobs as processes of this machine, for a trial.
        gpus: of each job.
        minutes: after which a job is ended; its run continues with the same command.

    Raises:
        ConfigError: submitit is not installed.
    """

    def __init__(self, work_dir: Path, partition: str, gpus: int = 1, minutes: int = 24 * 60) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError('--slurm needs the package submitit: pip install submitit') from error
        self.work_dir = work_dir
        cluster = 'local' if partition == 'local' else 'slurm'
        self._executor = submitit.AutoExecutor(work_dir / LOGS, cluster=cluster)
        options = dict(timeout_min=minutes, gpus_per_node=gpus, tasks_per_node=1)
        self._executor.update_parameters(**options, **({} if cluster == 'local' else dict(slurm_partition=partition)))

    def __call__(self, runs: Sequence[FewShotRun]) -> Iterator[tuple[FewShotRun, Result | RunError]]:
        """The runs as they finish, with their results or with what went wrong."""
        with self._executor.batch():
            jobs = {run: self._executor.submit(execute, run, self.work_dir) for run in runs}

        def one(run: FewShotRun) -> Result | RunError:
            jobs[run].wait()
            result = result_of(run, self.work_dir)
            return result or RunError(f'{run} failed; its output is in {jobs[run].paths.stderr}')

        if runs:
            yield from as_finished(one, runs, len(runs))
