"""The benchmark on released datasets. It reads a release and nothing else."""
