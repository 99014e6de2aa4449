"""Stage 2: videos become candidate clips and raw measurements. No threshold is applied here.

One file, one operator; see `csg405.operator` for the contract and the folder's README for the order.
"""
