"""A process that speaks one text with espeak-ng and ends: `python -m csg405.synth._espeak`.

espeak-ng carries noise and phase from one text to the next, so that the same text sounds different the second time; a
process of its own makes speech depend on the text and the voice alone. Only the standard library is imported here.

In: one line of JSON. Out: one line of JSON with the rate and the events, then the samples as 16-bit numbers.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from typing import Any

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_END, _PHONEME = 0, 7


class _Identifier(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(order: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Speak a text.

    Args:
        order: `library` and `data`, where espeak-ng lies; `text`, `voice`, `words_per_minute`, `pitch`, `pitch_range`.

    Returns:
        `rate_hz` and `events` ([kind, sample, place in the text, length, symbol]) or `error`, and the samples.
    """
    library = ctypes.CDLL(order["library"])
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, order["data"].encode(), _PHONEME_EVENTS)
    if rate_hz <= 0 or library.espeak_SetVoiceByName(order["voice"].encode()):
        return {"error": f"espeak-ng has no voice {order['voice']}"}, b""
    for parameter, key in ((_RATE, "words_per_minute"), (_PITCH, "pitch"), (_RANGE, "pitch_range")):
        library.espeak_SetParameter(parameter, order[key], 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    blocks: list[bytes] = []
    events: list[tuple[int, int, int, int, str]] = []

    def receive(samples: Any, count: int, found: Any) -> int:
        if samples and count > 0:
            blocks.append(ctypes.string_at(samples, 2 * count))
        for event in _until_end(found):
            symbol = event.id.string.decode("ascii", "replace") if event.type == _PHONEME else ""
            events.append((event.type, event.sample, event.text_position, event.length, symbol))
        return 0

    callback = _CALLBACK(receive)
    library.espeak_SetSynthCallback(callback)
    data = order["text"].encode()
    if library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None):
        return {"error": "espeak-ng could not say it"}, b""
    return {"rate_hz": rate_hz, "events": events}, b"".join(blocks)


def _until_end(events: Any) -> Iterator[Any]:
    number = 0
    while events[number].type != _END:
        yield events[number]
        number += 1


if __name__ == "__main__":
    answer, samples = speak(json.loads(sys.stdin.readline()))
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + samples)
