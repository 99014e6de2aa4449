"""Benches: `make bench-<name>` measures and writes work/bench/<name>.json; never a part of the tests."""
