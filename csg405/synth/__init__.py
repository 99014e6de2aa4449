"""The synthetic world: talkers whose every keypoint, word and defect is known.

A fresh machine has no pose weights and no films; tests need truth; the benchmark needs speech and gesture that belong
together. This world gives all of it from a seed: speech by espeak-ng with its words and sounds in time, articulated
people whose lips follow the sounds and whose hands beat on the stressed syllables, drawn in front of varied
backgrounds, and the 133 keypoints of every picture with what of them can be seen.
"""
