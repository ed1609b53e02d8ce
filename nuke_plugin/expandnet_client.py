"""The host's end of the worker: start it, talk to it, hear how far it is. Standard library only, Python 3.7 and later.

Nothing here knows Nuke. What is said is described in `expandnet_batch.worker.protocol`.
"""

import json
import socket
import threading

from expandnet_programs import POLL, Cancelled, ExpandNetError, command_words, run_program

PROTOCOL = 1

REPLY_SECONDS = 1800
"""Without a word from the worker for so long, it is lost: a frame on a slow machine takes minutes."""

PATIENCE = 10
"""Seconds in which a worker takes a request back, or says that it is there, also while it works."""


def start_worker(command="", device="auto", cancelled=None):
    """Return the address of the worker of a device, started if there is none.

    Raises:
        Cancelled: the artist did not want to wait.
        ExpandNetError: it cannot be started.
    """
    words = command_words(command, "expandnet-worker")
    place = run_program(words + ["--start", "--device", device], "expandnet-worker", cancelled)
    try:
        with open(place.splitlines()[-1], encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, IndexError) as error:
        raise ExpandNetError("the worker cannot be reached (%s)" % error)


class Worker:
    """A connection to a worker; one request at a time.

    Raises:
        ExpandNetError: nobody listens, or another protocol is spoken.
    """

    def __init__(self, address):
        self.address = address
        self._ids = 0
        self._lock = threading.Lock()
        self._pending = b""
        try:
            self._socket = _connect(address)
        except OSError as error:
            raise ExpandNetError("the worker cannot be reached (%s)" % error)
        try:
            self.identity = self.ask("hello", patience=PATIENCE, protocol=PROTOCOL, secret=address["secret"])
        except ExpandNetError:
            self.close()
            raise

    def close(self):
        """Hang up; a worker without hosts leaves by itself."""
        self._socket.close()

    def ask(self, request, progress=None, cancelled=None, patience=REPLY_SECONDS, **values):
        """Send a request and return its result.

        Args:
            progress: called with the share that is done and a text.
            cancelled: asked about five times a second; true takes the request back.
            patience: seconds without a word after which the worker is given up.

        Raises:
            Cancelled: it was taken back; of a worker that does not even answer that, the connection is closed.
            ExpandNetError: the worker refuses, fails, or is gone.
        """
        with self._lock:
            number = self._send(request, values)
            silent = 0
            told = False
            while True:
                if cancelled is not None and cancelled() and not told:
                    told, silent, patience = True, 0, PATIENCE
                    self._send("cancel", {"target": number})
                answer = self._receive()
                if answer is None:
                    silent += 1
                    if silent * POLL > patience:
                        self.close()
                        if told:
                            raise Cancelled("cancelled")
                        raise ExpandNetError("the worker has said nothing for %d s; end it and try again" % patience)
                    continue
                silent = 0
                if answer.get("id") not in (number, None):
                    continue
                if answer.get("event") == "progress":
                    if progress is not None:
                        progress(answer["share"], answer["text"])
                elif answer.get("ok"):
                    return answer["result"]
                else:
                    raise _error(answer.get("error") or {})

    def _send(self, request, values):
        self._ids += 1
        line = json.dumps(dict(values, id=self._ids, request=request)).encode("ascii") + b"\n"
        try:
            # A full socket waits for the worker, not for the moment that replies are polled by.
            self._socket.settimeout(60.0)
            self._socket.sendall(line)
        except OSError:
            raise ExpandNetError(LOST)
        finally:
            self._socket.settimeout(POLL)
        return self._ids

    def _receive(self):
        """Return the next message, None if there is none yet."""
        while b"\n" not in self._pending:
            try:
                part = self._socket.recv(1 << 16)
            except socket.timeout:
                return None
            except OSError:
                part = b""
            if not part:
                raise ExpandNetError(LOST)
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            answer = json.loads(line.decode("utf-8"))
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            # Another program listens where a worker has died.
            raise ExpandNetError(LOST)
        return answer


LOST = "the worker has stopped (it may have run out of memory); render again to start it anew"


def _connect(address):
    if address.get("path"):
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(10)
            made.connect(address["path"])
        except OSError:
            made.close()
            raise
        return made
    return socket.create_connection(("127.0.0.1", address["port"]), timeout=10)


def _error(error):
    if error.get("kind") == "CancelledError":
        return Cancelled("cancelled")
    return ExpandNetError(str(error.get("message") or "the worker failed without a word"))


class Pool:
    """Connections of one session: one per worker stays open, so that the network stays warm between two buttons."""

    def __init__(self):
        self._kept = {}
        self._lock = threading.Lock()

    def open(self, command="", device="auto", cancelled=None):
        """Return a connection of its own for one piece of work; its user closes it.

        Args:
            cancelled: asked while a worker starts; true gives up.
        """
        with self._lock:
            kept = self._kept.get((command, device))
            if kept is not None:
                try:
                    kept.ask("progress", patience=PATIENCE)
                except ExpandNetError:
                    kept.close()
                    kept = None
            if kept is None:
                kept = self._kept[command, device] = Worker(start_worker(command, device, cancelled))
        return Worker(kept.address)

    def close(self):
        """Hang up; workers without hosts leave by themselves."""
        with self._lock:
            for kept in self._kept.values():
                kept.close()
            self._kept.clear()
