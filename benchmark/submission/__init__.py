"""Submissions to the benchmark: their format, an empty one to fill in, and everything that may be wrong with one.

A submission is data from somebody unknown. It is read with limits, never unpickled and never executed; archives are
unpacked and films decoded in workers that may use little. Neither torch nor the truth is needed for it.
"""
