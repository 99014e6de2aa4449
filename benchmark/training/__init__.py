"""Training of the models: one loop, on whatever accelerate finds, that goes on exactly where it was killed."""
