"""A web server that misbehaves on demand, for a folder of films.

The crawl is to be seen at work where there is no internet, with all that goes wrong on the web: so the films of the
synthetic world are fetched over HTTP from this machine, and a path may be given a `Fault`. All else is a well-behaved
server: GET and HEAD, one range of bytes (RFC 9110, section 14), streamed bodies, a connection for each request.

It listens on the loopback address only, and serves regular files that lie in the folder and nothing else. It tells no
`Last-Modified`, since yt-dlp takes that for the day of upload, and rows would depend on when a film was made.

What a fault's `times` should be follows from what yt-dlp 2026.8 asks for. The address of a film it opens twice, both
times by a GET without a range: once to look, where it reads the head and no body, and once to fetch. So a status
fails a crawl with `times=1`; a body that is cut, or is text, is noticed the second time only and needs `times=2`. A
fetch that breaks off is one more GET for each of `crawl.retries`, with a range that begins where it broke; a look is
not repeated. Films and segments to which a page or a playlist leads are opened once, to fetch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.server
import io
import logging
import re
import socket
import socketserver
import sys
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from csg405.errors import UserError

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
"""The loopback address: no other machine can ask."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".ts": "video/mp2t",
    ".txt": "text/plain; charset=utf-8",
    ".wav": "audio/wav",
    ".webm": "video/webm",
}
"""Not those of `mimetypes`, which reads files of the machine: on some, `.ts` is a translation."""

_BLOCK_BYTES = 1 << 16

_SILENCE_S = 60.0
"""A client that neither asks nor reads for so long is let go: browsers open connections that they never use."""

_POLL_S = 0.02
"""How soon the server notices that it is to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with a path: a status, or a body that is cut, is text, or both; each may come late.

    HEAD is answered as the next GET would be, and uses nothing up.
    """

    status: int | None = None
    """HTTP status, 200 to 599, in place of the file, which need not be there."""
    retry_after_s: int | None = None
    """With a status: the header Retry-After."""
    cut_at: float | None = None
    """Part of the body, 0 or more and below 1, behind which nothing is sent, though Content-Length announces all that
    was asked for: the connection is closed instead."""
    text: str | None = None
    """The body in place of the file, which need not be there, with the type that the path's ending stands for."""
    delay_s: float = 0
    """Wait before the answer."""
    times: int | None = None
    """So many GETs of the path meet the fault, with a range or without; later ones do not. None: all do."""

    def __post_init__(self) -> None:
        body = self.cut_at is not None or self.text is not None
        kinds = (self.status is not None) + body
        if kinds > 1 or not (kinds or self.delay_s):
            raise ValueError(f"{self}: wanted a status, or cut_at or text, or delay_s alone")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status={self.status}: wanted 200 to 599, which end an exchange")
        if self.retry_after_s is not None and (self.status is None or self.retry_after_s < 0):
            raise ValueError(f"retry_after_s={self.retry_after_s}: wanted 0 or more, beside a status")
        if self.cut_at is not None and not 0 <= self.cut_at < 1:
            raise ValueError(f"cut_at={self.cut_at}: wanted 0 or more and below 1")
        if self.delay_s < 0 or (self.times is not None and self.times < 1):
            raise ValueError(f"delay_s={self.delay_s}, times={self.times}: wanted 0 or more, and 1 or more")


class Site(http.server.ThreadingHTTPServer):
    """A folder on a port of this machine. `serving` makes one and sets it to work."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, folder: Path, *, faults: Mapping[str, Fault], port: int) -> None:
        self.folder = folder.resolve()
        self.faults = dict(faults)
        """What is wrong now, by path below the folder; may be changed at any time, and faults that are used up leave
        it."""
        self.requests: Counter[str] = Counter()
        """How often each path was asked for, by GET or HEAD; without a query, and whether or not it is there."""
        self.before: Callable[[str], object] = lambda _: None
        """Called with the path when a request has been counted, before it is answered, by the thread that answers."""
        self.closing = threading.Event()
        """Set when the server stops."""
        self._lock = threading.Lock()
        self._connections: set[Any] = set()
        super().__init__((HOST, port), _Handler)

    def url(self, name: str) -> str:
        """The address of a path below the folder, which may have a query (`film.mp4?x=1`)."""
        path, mark, query = name.partition("?")
        return f"http://{HOST}:{self.server_port}/{urllib.parse.quote(path, errors='surrogateescape')}{mark}{query}"

    def find(self, name: str) -> Path | None:
        """The regular file of a path; None where there is none, or it lies outside the folder."""
        try:
            path = (self.folder / name).resolve(strict=True)
            return path if path.is_relative_to(self.folder) and path.is_file() else None
        except (OSError, RuntimeError, ValueError):  # not there, links in a circle, a NUL in the name
            return None

    def meet(self, name: str, *, use: bool) -> Fault | None:
        """Count a request, and give the fault that it meets.

        Args:
            name: path below the folder.
            use: whether the request uses up one of the fault's times.
        """
        with self._lock:
            self.requests[name] += 1
            fault = self.faults.get(name)
            if fault is not None and fault.times is not None and use:
                if fault.times > 1:
                    self.faults[name] = dataclasses.replace(fault, times=fault.times - 1)
                else:
                    del self.faults[name]
        self.before(name)
        return fault

    def stop(self) -> None:
        """Stop listening, hang up on all clients, and wait for the threads that answered them."""
        self.closing.set()
        self.shutdown()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def server_bind(self) -> None:
        """Without asking for this machine's name, which may take seconds where a resolver does not answer."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be hung up."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        super().shutdown_request(request)
        self._connections.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's arguments
        """A client that hung up is nothing to tell; anything else is."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            log.error("the answer to %s failed", client_address, exc_info=error)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request, then closes its connection."""

    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_S
    server: Site

    def do_GET(self) -> None:
        self._answer(wants_body=True)

    def do_HEAD(self) -> None:
        self._answer(wants_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug("%s %s", self.address_string(), format % args)

    def _answer(self, *, wants_body: bool) -> None:
        name = _name_of(self.path)
        fault = self.server.meet(name, use=wants_body)
        if fault is not None and fault.delay_s:
            self.server.closing.wait(fault.delay_s)
        if fault is not None and fault.status is not None:
            more = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            self._refuse(fault.status, wants_body=wants_body, **more)
            return
        text = None if fault is None else fault.text
        body = self._open(name) if text is None else io.BytesIO(text.encode())
        if body is None:
            self._refuse(404, wants_body=wants_body)
            return
        with body:
            self._serve(name, body, cut_at=None if fault is None else fault.cut_at, wants_body=wants_body)

    def _open(self, name: str) -> BinaryIO | None:
        path = self.server.find(name)
        try:
            return None if path is None else path.open("rb")
        except OSError as error:
            log.warning("%s: cannot be served: %s", path, error.strerror)
            return None

    def _serve(self, name: str, body: BinaryIO, *, cut_at: float | None, wants_body: bool) -> None:
        size = body.seek(0, io.SEEK_END)
        part = _range_of(self.headers.get("Range", ""), size) if wants_body else None  # GET alone has ranges
        if part is not None and not part:
            self._refuse(416, wants_body=True, **{"Content-Range": f"bytes */{size}"})
            return
        span = range(size) if part is None else part
        self.send_response(200 if part is None else 206)
        self.send_header("Content-Type", _TYPES.get(Path(name).suffix.lower(), "application/octet-stream"))
        self.send_header("Content-Length", str(len(span)))
        self.send_header("Accept-Ranges", "bytes")
        if part is not None:
            self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size}")
        self._end_head()
        if wants_body:
            self._send(body, range(span.start, span.stop if cut_at is None else min(span.stop, int(size * cut_at))))

    def _send(self, body: BinaryIO, span: range) -> None:
        body.seek(span.start)
        left = len(span)
        while block := body.read(min(left, _BLOCK_BYTES)):
            self.wfile.write(block)
            left -= len(block)

    def _refuse(self, status: int, *, wants_body: bool, **headers: str) -> None:
        """Answer with a status and the name of it."""
        body = f"{status} {self.responses.get(status, ('',))[0]}\n".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in {204, 304}:  # those never have a body
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self._end_head()
        if wants_body and status not in {204, 304}:
            self.wfile.write(body)

    def _end_head(self) -> None:
        self.send_header("Connection", "close")
        self.end_headers()


def _name_of(target: str) -> str:
    """The path below the folder that a request's target names."""
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    return urllib.parse.unquote(path, errors="surrogateescape").strip("/")


def _range_of(header: str, size: int) -> range | None:
    """What of `size` bytes a Range header asks for: nothing where it lies behind them; None where all are to be sent.

    What is no single range of bytes may be ignored, and is (RFC 9110, section 14.2).
    """
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", header.strip(), re.IGNORECASE)
    first, last = match.groups() if match else ("", "")
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)


@contextlib.contextmanager
def serving(folder: Path, *, faults: Mapping[str, Fault] | None = None, port: int = 0) -> Iterator[Site]:
    """Serve a folder from this machine for as long as the context lasts.

    Args:
        folder: what is served, with all folders below it; files may come and go meanwhile.
        faults: what goes wrong, by path below the folder.
        port: 0 takes any that is free.

    Raises:
        UserError: the folder is not there, or the port cannot be had.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds the films to serve")
    if not 0 <= port <= 65535:
        raise UserError(f"port {port}: ports are 0 to 65535; give another one")
    try:
        site = Site(folder, faults=faults or {}, port=port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            said = "another program on this machine has it; end that program, or give another port"
        elif error.errno == errno.EACCES:
            said = "this machine does not allow you that port; give one of 1024 or more"
        else:
            raise
        raise UserError(f"port {port}: {said}") from error
    thread = threading.Thread(
        target=site.serve_forever, kwargs={"poll_interval": _POLL_S}, name=f"server of {folder}", daemon=True
    )
    thread.start()
    try:
        yield site
    finally:
        site.stop()
        thread.join()


def serve_forever(folder: Path, *, port: int, faults: Mapping[str, Fault] | None = None) -> None:
    """Serve a folder from this machine until somebody presses Ctrl-C.

    Raises:
        UserError: the folder is not there, or the port cannot be had.
    """
    with contextlib.suppress(KeyboardInterrupt), serving(folder, faults=faults, port=port) as site:
        log.info("%s is served at %s until you press Ctrl-C", folder, site.url(""))
        site.closing.wait()
