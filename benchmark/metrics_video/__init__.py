"""Metrics of videos, one file each: see `csg405.benchmark.video` for the contract."""
