"""One metric a file: see `csg405.benchmark.metric` for what each holds."""
