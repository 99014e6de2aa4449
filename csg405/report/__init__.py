"""The page that shows what became of a run: opened from disk, its media beside it, with no server."""
