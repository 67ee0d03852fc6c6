"""Classification data: few-shot and long-tailed benchmarks, and your own images."""
