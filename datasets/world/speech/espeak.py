"""The eSpeak NG library through ctypes: text in, 16-bit samples and timed events out, the same bytes every time.

Interface: ``speak_lib.h`` and ``espeak_ng.h`` of https://github.com/espeak-ng/espeak-ng (1.52). The library comes with
the package ``espeakng-loader`` and is GPL-3.0; this file only calls it.

The library keeps hidden state from one call to the next (the position in its pitch flutter, the phase of the wave,
resonator memories, a random generator seeded by the clock). Every call here therefore loads a fresh copy, seeds it,
speaks and unloads it: half a millisecond, and the result depends on the arguments alone. There is one library per
process, so a lock lets one thread speak at a time; parallel work is for processes.
"""

import _ctypes
import ctypes
import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError

logger = logging.getLogger(__name__)

RATE_HZ = 22050
EVENT_WORD, EVENT_END, EVENT_PHONE = 1, 5, 7
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 1, 2, 0x8000
_BUFFER_MS = 500
_CHARS_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_VOLUME_PERCENT = 70  # at 100 some voices drive the library's limiter, which distorts
_SEED = 1
_LOCK = threading.Lock()


class SpeechError(UserError):
    """Speech cannot be made: the library is missing or broken, or the voice or the text is not usable."""


class Event(NamedTuple):
    """One event of the synthesiser."""

    kind: int  # eSpeak's number of its type
    character: int  # of the text, from 1
    sample: int  # of the sound, at 22050 Hz
    phone: str  # its IPA name, empty for other events


class _CEvent(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_CEvent))


def library_paths() -> tuple[Path, Path]:
    """Return the paths of the shared library and of ``espeak-ng-data``; raise SpeechError where one is missing."""
    remedy = "install it with `pip install -r requirements.txt` (it has wheels for Linux, macOS and Windows)"
    try:
        import espeakng_loader
    except ImportError as error:
        raise SpeechError(f"Speech needs the package espeakng-loader, which is not installed: {remedy}.") from error
    try:
        library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    except RuntimeError as error:
        raise SpeechError(f"The package espeakng-loader lacks its voice data ({error}): {remedy} again.") from error
    for path in (library, data / "phondata"):
        if not path.exists():
            raise SpeechError(f"The package espeakng-loader lacks {path}: {remedy} again.")
    return library, data


def synthesise(text: str, voice: str, pitch: int, pitch_range: int, rate: int) -> tuple[np.ndarray, list[Event]]:
    """Speak plain text; return samples (N,) int16 at 22050 Hz, and the WORD, PHONE and END events in order of time.

    ``voice`` is eSpeak's ``language+variant``, ``pitch`` and ``pitch_range`` (liveliness) are 0-99, ``rate`` 80-450
    words a minute. Raises SpeechError where the library cannot be loaded, or refuses the voice or the text.
    """
    library, data = library_paths()
    with _LOCK:
        return _speak_once(library, data, text, voice, (pitch, pitch_range, rate))


def _speak_once(
    library: Path, data: Path, text: str, voice: str, prosody: tuple[int, int, int]
) -> tuple[np.ndarray, list[Event]]:
    _warn_if_loaded(library)
    chunks: list[bytes] = []
    events: list[Event] = []

    def collect(wave: "ctypes._Pointer", count: int, c_events: "ctypes._Pointer") -> int:
        """Keep ``count`` samples of 16 bits and the events before one of type 0; 0 lets eSpeak go on."""
        if wave and count:
            chunks.append(ctypes.string_at(wave, 2 * count))
        for event in c_events:
            if event.type == 0:
                break
            if event.type in (EVENT_WORD, EVENT_PHONE, EVENT_END):
                phone = event.name.decode("utf-8", "ignore") if event.type == EVENT_PHONE else ""
                events.append(Event(event.type, event.text_position, event.sample, phone))
        return 0

    callback = _Callback(collect)
    lib = _load(library)
    try:
        lib.espeak_SetSynthCallback(callback)
        options = _PHONEME_EVENTS | _IPA | _DONT_EXIT
        rate_hz = lib.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, os.fsencode(data), options)
        if rate_hz != RATE_HZ:
            raise SpeechError(f"eSpeak NG did not start with the data in {data} (it returned {rate_hz}).")
        if lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeechError(f"eSpeak NG has no voice '{voice}'. Take a language and a variant of voices.py.")
        pitch, pitch_range, rate = prosody
        for parameter, value in ((_RATE, rate), (_VOLUME, _VOLUME_PERCENT), (_PITCH, pitch), (_RANGE, pitch_range)):
            lib.espeak_SetParameter(parameter, value, 0)
        lib.espeak_ng_SetRandSeed(_SEED)
        raw = text.encode()
        status = lib.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        if status != 0:
            raise SpeechError(f"eSpeak NG could not speak {text!r} with voice '{voice}' (status {status}).")
        lib.espeak_Terminate()
    finally:
        _unload(lib)
    return np.frombuffer(b"".join(chunks), dtype=np.int16), events


def _load(library: Path) -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL(str(library))
    except OSError as error:
        raise SpeechError(f"The library {library} cannot be loaded: {error}. Install espeakng-loader again.") from error
    lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    lib.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    lib.espeak_SetSynthCallback.argtypes = [_Callback]
    lib.espeak_SetSynthCallback.restype = None
    text, unsigned, pointer = ctypes.c_char_p, ctypes.c_uint, ctypes.c_void_p
    lib.espeak_Synth.argtypes = [text, ctypes.c_size_t, unsigned, ctypes.c_int, unsigned, unsigned, pointer, pointer]
    return lib


def _unload(lib: ctypes.CDLL) -> None:
    close = _ctypes.FreeLibrary if os.name == "nt" else _ctypes.dlclose
    close(lib._handle)


def _warn_if_loaded(library: Path) -> None:
    # If somebody else holds the library, unloading does not reset it: the words are right, the bytes may differ.
    if not hasattr(os, "RTLD_NOLOAD"):
        return
    try:
        held = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return
    _unload(held)
    logger.warning("Another part of this process holds eSpeak NG: its speech may differ in detail from call to call.")
