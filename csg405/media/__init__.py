"""Reading and writing video and sound, and the one clock that pictures, keypoints and samples share.

`probe` says what a file holds; `decode` and `sound` give its pictures and its sound by their presentation times;
`clock` says which picture belongs to frame i of a clip; `encode` writes a clip. PyAV decodes (its wheel bundles
FFmpeg); ffmpeg-python drives the ffmpeg binary that imageio-ffmpeg ships to encode.
"""

from csg405.media.clock import AUDIO_RATE_HZ, FPS, FRAME_MS, SAMPLES_PER_FRAME
from csg405.media.decode import frames, frames_on_clock
from csg405.media.encode import write_clip, write_film
from csg405.media.probe import Probe, Unreadable, probe
from csg405.media.sound import int16, sound

__all__ = [
    "AUDIO_RATE_HZ",
    "FPS",
    "FRAME_MS",
    "SAMPLES_PER_FRAME",
    "Probe",
    "Unreadable",
    "frames",
    "frames_on_clock",
    "int16",
    "probe",
    "sound",
    "write_clip",
    "write_film",
]
