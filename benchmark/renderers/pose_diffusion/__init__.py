"""The renderer `pose-diffusion`: a video diffusion network that was trained on films of a release.

See `network` for what it is, `train` for how it learns, `sampling` for how it makes films of any length.
"""
