"""What does the reader of MAPS files make of damaged ones? Each must be refused in a line, or flagged, or be harmless.

    python studies/damaged_maps.py [FILES]             (1000 if not given)

A small synthetic file, with checksums as the pipeline writes them, is damaged in one way after another by seeded random
numbers: truncated, gzipped and truncated, bits flipped, bytes overwritten, extensions removed, renamed or doubled,
shapes changed, header cards changed, values set to NaN, infinity or something huge. Counts are kept in
studies/results/damaged_maps.json.
"""

from __future__ import annotations

import collections
import gzip
import io
import json
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

import galfit_sr as gs
from galfit_sr.files import write_text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "observations"))
from synthetic_maps import synthetic_maps

RESULTS = Path(__file__).parent / "results" / "damaged_maps.json"
SEED = 7
SLOWEST = 20
"""Seconds after which a file has hung."""
_HUGE = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e30, 1e10, -1e10, 1e4)
_VALUES = (None, "", "abc", True, -1, 0, float(2**31), 1e300, -1e300, 1e-300)
_STRUCTURAL = ("XTENSION", "BITPIX", "NAXIS", "EXTNAME", "CHECKSUM", "DATASUM", "PCOUNT", "GCOUNT")

Random = np.random.Generator


def intact() -> bytes:
    """The file before any damage."""
    stream = io.BytesIO()
    synthetic_maps().writeto(stream, checksum=True)
    return stream.getvalue()


def truncated(raw: bytes, random: Random) -> bytes:
    """Ended anywhere."""
    return raw[: random.integers(len(raw))]


def gzip_truncated(raw: bytes, random: Random) -> bytes:
    """A gzip stream that ended anywhere."""
    return truncated(gzip.compress(raw, 1), random)


def gzip_flipped(raw: bytes, random: Random) -> bytes:
    """A gzip stream with a few bits flipped."""
    return flipped(gzip.compress(raw, 1), random)


def flipped(raw: bytes, random: Random) -> bytes:
    """From 1 to 64 bits flipped, anywhere."""
    data = np.frombuffer(raw, np.uint8).copy()
    places = random.integers(len(data), size=2 ** random.integers(7))
    data[places] ^= np.uint8(1) << random.integers(8, size=len(places)).astype(np.uint8)
    return data.tobytes()


def header_flipped(raw: bytes, random: Random) -> bytes:
    """Up to 4 bits flipped in one header."""
    hdus = fits.open(io.BytesIO(raw))
    info = hdus[random.integers(len(hdus))].fileinfo()
    data = np.frombuffer(raw, np.uint8).copy()
    places = random.integers(info["hdrLoc"], info["datLoc"], size=random.integers(1, 5))
    data[places] ^= np.uint8(1) << random.integers(8, size=len(places)).astype(np.uint8)
    return data.tobytes()


def overwritten(raw: bytes, random: Random) -> bytes:
    """A stretch of bytes lost: zeros, or rubbish."""
    start, length = random.integers(len(raw)), 2 ** random.integers(14)
    rubbish = random.bytes(length) if random.random() < 0.5 else bytes(length)
    return (raw[:start] + rubbish + raw[start + length :])[: len(raw)]


def removed(raw: bytes, random: Random) -> bytes:
    """Without one extension."""

    def change(hdus: fits.HDUList) -> None:
        del hdus[random.integers(1, len(hdus))]

    return _changed(raw, change)


def renamed(raw: bytes, random: Random) -> bytes:
    """One extension under another's name, or a new one."""

    def change(hdus: fits.HDUList) -> None:
        others = [*(hdu.name for hdu in hdus[1:]), "STELLAR_VELL", "", "X" * 60]
        hdus[random.integers(1, len(hdus))].header["EXTNAME"] = others[random.integers(len(others))]

    return _changed(raw, change)


def reshaped(raw: bytes, random: Random) -> bytes:
    """One image cropped, stacked, flattened, magnified, or of another type.

    Not mirrored in place: FITS checksums are sums, which do not know the order of the values.
    """

    def change(hdus: fits.HDUList) -> None:
        hdu = hdus[random.integers(1, len(hdus))]
        a = hdu.data
        ways: list[Callable[[], np.ndarray]] = [
            lambda: a[..., : random.integers(a.shape[-1])],
            lambda: a[..., : random.integers(1, a.shape[-2]), :],
            lambda: np.moveaxis(np.stack([a, a]), 0, -1).copy(),
            lambda: np.stack([a, a]),
            lambda: a.ravel(),
            lambda: np.repeat(np.repeat(a, 4, axis=-1), 4, axis=-2),
            lambda: np.nan_to_num(a).astype([np.uint8, np.int16, np.float64][random.integers(3)]),
            lambda: a.reshape((*a.shape, 1)),
        ]
        hdu.data = ways[random.integers(len(ways))]()

    return _changed(raw, change)


def spoilt(raw: bytes, random: Random) -> bytes:
    """A few or many values of one image set to NaN, infinity or something huge."""

    def change(hdus: fits.HDUList) -> None:
        data = hdus[random.integers(1, len(hdus))].data
        places = random.random(data.shape) < 10.0 ** random.uniform(-3, 0)
        value = _HUGE[random.integers(len(_HUGE))]
        if data.dtype.kind == "i":
            value = int(np.clip(np.nan_to_num(value), -(2**31), 2**31 - 1))
        data[places] = value

    return _changed(raw, change)


def recarded(raw: bytes, random: Random) -> bytes:
    """One card of the primary header lost or set to something else."""

    def change(hdus: fits.HDUList) -> None:
        header = hdus[0].header
        keys = [key for key in header if key not in (*_STRUCTURAL, "SIMPLE", "EXTEND")]
        key, value = keys[random.integers(len(keys))], _VALUES[random.integers(len(_VALUES))]
        if random.random() < 0.3:
            del header[key]
        else:
            header[key] = value

    return _changed(raw, change)


def _changed(raw: bytes, change: Callable[[fits.HDUList], None]) -> bytes:
    """The file with its HDUs changed; checksums stay what they were, as those of who does not know of them."""
    hdus = fits.open(io.BytesIO(raw))
    for hdu in hdus:
        _ = hdu.data
    change(hdus)
    stream = io.BytesIO()
    hdus.writeto(stream, output_verify="ignore")
    return stream.getvalue()


DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    truncated,
    gzip_truncated,
    gzip_flipped,
    flipped,
    header_flipped,
    overwritten,
    removed,
    renamed,
    reshaped,
    spoilt,
    recarded,
)


def judge(content: bytes, path: Path, right: gs.Observation) -> tuple[str, str]:
    """What becomes of a file: `refused` with a line, `flagged`, `harmless`, or what must not be.

    `wrong` is an observation that differs without a word; `rude` is any other exception, or a reason of several lines.
    """
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            observation = gs.read(path)
    except gs.InputError as error:
        return ("refused" if "\n" not in str(error) else "rude"), str(error).replace(str(path), "FILE")
    except Exception as error:
        return "rude", f"{type(error).__name__}: {error}"
    if set(observation.notes) - set(right.notes):
        return "flagged", ""
    same = observation.fingerprint() == right.fingerprint()
    return ("harmless" if same else "wrong"), ""


def damaged(number: int) -> list[tuple[str, bytes]]:
    """So many damaged files, each with the name of its damage."""
    raw, files = intact(), []
    for index in range(number):
        damage = DAMAGES[index % len(DAMAGES)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files.append((damage.__name__, damage(raw, np.random.default_rng((SEED, index)))))
    return files


def run(number: int, folder: Path) -> dict[str, dict[str, int]]:
    """Damage -> verdict -> count; prints what must not be, and the kinds of sentences."""
    path = folder / "maps.fits"
    path.write_bytes(intact())
    right = gs.read(path)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for index, (name, content) in enumerate(damaged(number)):
        signal.alarm(SLOWEST)
        verdict, sentence = judge(content, path, right)
        signal.alarm(0)
        counts[name][verdict] += 1
        if verdict in ("rude", "wrong"):
            print(f"{index} {name}: {verdict} {sentence}", file=sys.stderr)
    return {name: dict(sorted(verdicts.items())) for name, verdicts in counts.items()}


def main() -> None:
    """Damages, reads, counts and keeps."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = run(number, Path(folder))
    total = collections.Counter[str]()
    for verdicts in found.values():
        total.update(verdicts)
    result = {"files": number, "seed": SEED, "seconds": round(time.monotonic() - began, 1), "verdicts": dict(total)}
    text = json.dumps({**result, "damages": found}, indent=1) + "\n"
    print(text)
    write_text(RESULTS, text)


if __name__ == "__main__":
    main()
