"""Downloads that resume after a break, are checked, and appear under their name only when complete."""

import hashlib
import http.client
import logging
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from common.errors import UserError
from common.files import put_on_disk

logger = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes
TIMEOUT_S = 30
BREAKS = (URLError, http.client.HTTPException, ConnectionError, TimeoutError)
MD5_DIGITS = 32
PARTIAL, RANGE_REFUSED = 206, 416  # HTTP status


class DownloadError(UserError, RuntimeError):
    """A file could not be fetched, or is not the expected one."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mismatch(path: Path, expected: str | None) -> str | None:
    """Return both checksums, MD5 of 32 digits or SHA-256, of a file that has another than expected, else None."""
    if expected is None:
        return None
    if len(expected) == MD5_DIGITS:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    else:
        found = sha256_of(path)
    kind = "MD5" if len(expected) == MD5_DIGITS else "SHA-256"
    return None if found == expected.lower() else f"{kind} {found}, expected {expected}"


def download(url: str, target: Path, checksum: str | None, attempts: int = 4, pause_s: float = 1.0) -> Path:
    """Fetch ``url`` to ``target`` unless it is there already; a broken transfer continues where it stopped.

    The bytes so far lie in ``<target>.part``; the file gets its name after the checksum is right. Without a known
    checksum only the length can be checked, and a transfer continues only while the server's file is the same
    (``If-Range`` with the ETag or date it gave, kept in ``<target>.part.from``).

    Args:
        url: http or https address.
        target: path of the file; folders are made.
        checksum: expected SHA-256, or MD5 of 32 digits, in hexadecimal; None where nobody has published it.
        attempts: most attempts of a connection.
        pause_s: wait before the second attempt, seconds; doubled for each further one.

    Raises:
        DownloadError: no connection, a refusal by the server, or another checksum; the message holds the address and
            where to place the file by hand. Or the file cannot be written, or there is to be no attempt.
    """
    target = Path(target)
    if attempts < 1:
        raise DownloadError(f"Cannot download {url} in {attempts} attempts: expected a number of at least 1.")
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"Cannot download {url!r}: expected an address that starts with http:// or https://.")
    if target.is_file():
        if wrong := _mismatch(target, checksum):
            raise DownloadError(f"{target} has {wrong}: delete it, or fetch {url} again.")
        logger.info("%s is there", target)
        return target
    logger.info("Downloading %s to %s", url, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        _attempt(url, target, part, attempts, pause_s)
        _origin(part).unlink(missing_ok=True)
        if wrong := _mismatch(part, checksum):
            reason = _why_another(part, target)
            part.unlink()
            raise DownloadError(f"{url} has {wrong}: {reason}")
        part.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    return target


def _why_another(part: Path, target: Path) -> str:
    """Say what to make of a file with another checksum than expected."""
    with part.open("rb") as file:
        page = file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if page:
        return f"it is a web page, which asks or explains something: open it in a browser, place the file at {target}."
    return "the file there has changed or was damaged."


def unwritable(target: Path, error: OSError) -> DownloadError:
    """Return the error for a target that the machine refuses to write."""
    return DownloadError(
        f"{target} cannot be written ({type(error).__name__}: {error}): see to that folder or choose another."
    )


def _attempt(url: str, target: Path, part: Path, attempts: int, pause_s: float) -> None:
    """Fetch ``part``, again when the connection breaks.

    Raises DownloadError where there is no connection, or the server refuses, and OSError where the file cannot be
    written.
    """
    for attempt in range(attempts):
        try:
            _fetch(url, part)
            return
        except HTTPError as error:
            raise _unreachable(url, target, f"the server answered {error.code} {error.reason}") from error
        except ValueError as error:  # urllib's word on an address that is none
            raise _unreachable(url, target, str(error)) from error
        except BREAKS as error:
            if attempt == attempts - 1:
                raise _unreachable(url, target, str(getattr(error, "reason", None) or error)) from error
            time.sleep(pause_s * 2**attempt)


def _origin(part: Path) -> Path:
    """Return where the server's name for the version of a partial file is kept."""
    return part.with_name(part.name + ".from")


def _unreachable(url: str, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"Could not download {url} ({reason}): fetch it where there is network and place it at {target}."
    )


def _fetch(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks, or start it again when the server does not serve ranges."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and _origin(part).is_file():
        headers["If-Range"] = _origin(part).read_text(encoding="latin1")
    request = Request(url, headers=headers)  # noqa: S310 (http and https only)
    try:
        response = urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except HTTPError as error:
        if error.code == RANGE_REFUSED and have:  # nothing is left, or the file changed: the checksum decides
            if error.headers.get("Content-Range", "").endswith(f"/{have}"):
                return
            part.unlink()
            _fetch(url, part)
            return
        raise
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if version is not None and not version.startswith("W/"):
        _origin(part).write_text(version, encoding="latin1")
    with response, part.open("ab" if response.status == PARTIAL else "wb") as file:
        expected = response.headers.get("Content-Length")
        received = 0
        while chunk := response.read(CHUNK):
            file.write(chunk)
            received += len(chunk)
        file.flush()
        put_on_disk(file.fileno(), part)
    if expected is not None and received < int(expected):
        raise ConnectionError(f"the connection ended after {received} of {expected} bytes")
