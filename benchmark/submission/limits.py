"""How much of a submission is read: what is larger is refused before it is read, whatever it says of itself.

The figures are ours. They leave room for 10,000 clips of a minute with ten seeds each, and keep a machine of 4 GiB
out of trouble.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MOST_FILES = 200_000
MOST_FOLDER_DEPTH = 4
"""Folders in each other, the submission's own left out; a submission needs two."""
MOST_PATH_BYTES = 512

MOST_ARCHIVE_BYTES = 64 * GIB
"""Of all files of an archive together, unpacked."""
MOST_FILE_BYTES = 512 * MIB
MOST_RATIO = 100
"""Unpacked bytes for one packed byte. Deflate reaches 1030; films and compressed arrays stay under 2."""
RATIO_FREE_BYTES = 64 * MIB
"""So much may be unpacked at any ratio."""

MOST_YAML_BYTES = 64 * KIB
MOST_YAML_DEPTH = 6
"""Mappings and lists in each other; the format has three."""
MOST_REPORT_BYTES = MIB
MOST_CHECKSUMS_BYTES = 64 * MIB
MOST_CLIP_LIST_BYTES = 64 * MIB
MOST_IDS_PACKED_BYTES = 256 * MIB
MOST_IDS_BYTES = 512 * MIB
"""Of the training ids, unpacked: 8 million videos."""

MOST_HEADER_BYTES = 1024
"""Of an array; NumPy writes 118."""
MOST_ARRAYS = 16
"""Members of an .npz that are looked at; the format has two."""

MOST_FINDINGS = 1000
"""Findings of one kind in one file, or of one archive, that are kept."""
