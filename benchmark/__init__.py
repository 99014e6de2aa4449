"""The benchmark on released datasets: metrics, submissions, scores. It reads a release and nothing else.

A *system* turns the speech of a clip into motion, or motion into video. `clip` says what is known of a clip and what a
system gives for it; `metric` what a metric is; `metrics/` holds one file each. Whatever is measured is measured for
one clip at a time (a *row*); a metric's value is a function of many rows, so any division of the data gives the same.
"""

EVALUATOR = "1.0"
"""Version of the evaluator; scores of different ones are not comparable."""
