"""Running experiments: the runner and its checkpoints, hooks, optimizer constructor and schedules."""
