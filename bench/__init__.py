"""Benches: `make bench-<name>` measures and writes work/bench/<name>.json; never a part of the tests.

`front` draws the README's moving picture with what `make bench-models` trained.
"""
