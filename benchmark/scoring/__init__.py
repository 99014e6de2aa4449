"""Scoring: rows of every clip, then values, intervals, comparisons, and what a report shows of them.

`systems` says what is scored, `plan` divides a split into chunks, `rows` keeps what is measured, `measure` fills it on
any engine, `values` computes, and `results` puts it together.
"""
