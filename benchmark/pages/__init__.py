"""Pages on scores: the report of one submission, and the leaderboard of many. Static files, opened from disk.

`scores` reads what scoring wrote, `charts` lays out drawings, `clips` chooses the clips that play beside the truth,
`report` puts a report together; `ranking` says who is better than whom, and `leaderboard` makes the site. Style and
player are those of `csg405.report`.
"""
