"""What models are given of speech: one row of numbers for each frame, computed once and kept beside a release."""
