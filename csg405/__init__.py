"""csg405 builds co-speech-gesture video datasets from the web, and the benchmark on them.

The shared core lies here; `csg405.crawl`, `.annotate`, `.filter`, `.postprocess` and `.benchmark` are
links to the folders of those names at the top of the repository.
"""

__version__ = "0.1.0"
