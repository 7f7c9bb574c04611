"""The sidecar as an ASGI application: a path is looked up, its method checked, its handler run.

No framework: an ASGI call is a path, some headers and two functions, and what a framework would add costs
more than a whole request may. Paths of wire formats come from the plan (`Manifest.ingress`) and lead to
`ingress`; the others stand in `PATHS`. Which of them an address serves is its app's `serves`.

An app is made from a `Service`; it holds no state of its own but the current snapshot's paths, bound once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from engine.errors import EngineError, RequestError
from engine.runtime.snapshot import Snapshot
from engine.server import admin, probes
from engine.server.credential import check_address
from engine.server.exchange import Exchange
from engine.server.head import read_head
from engine.server.ingress import Ingress
from engine.server.models import send_models
from engine.server.path_patterns import PathPatterns
from engine.server.replies import Message, Receive, Send, new_request_id
from engine.server.service import Service
from engine.wire.dialect import BoundDialect

Surface = Literal["clients", "admin", "metrics", "probes"]

Handler = Callable[[Exchange], Awaitable[None]]

MODELS: Final = "/v1/models"

#: path -> (surface that serves it, its method, its handler). `MODELS` is added where clients are served.
PATHS: Final[dict[str, tuple[Surface, str, Handler]]] = {
    "/healthz": ("probes", "GET", probes.healthz),
    "/readyz": ("probes", "GET", probes.readyz),
    "/metrics": ("metrics", "GET", admin.metrics),
    "/admin/status": ("admin", "GET", admin.status),
    "/admin/deployments": ("admin", "GET", admin.deployments),
    "/admin/budgets": ("admin", "GET", admin.budgets),
    "/admin/plan": ("admin", "GET", admin.plan),
    "/admin/reload": ("admin", "POST", admin.reload),
}


class Paths:
    """The dialects' paths under one snapshot."""

    __slots__ = ("_patterns", "ingress", "models", "snapshot", "speaks")

    def __init__(self, service: Service, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        plan = snapshot.plan
        self.ingress = {
            path: Ingress(service, snapshot, snapshot.dialect(name), operation, path)
            for path, (name, operation) in plan.manifest.ingress.items()
        }
        self._patterns = PathPatterns(self.ingress)
        #: The dialect of errors where none is spoken, and of the list of models: one that has such a list
        #: and a path beside it.
        beside = MODELS.rpartition("/")[0] + "/"
        listing = (
            each.dialect
            for path, each in self.ingress.items()
            if path.startswith(beside) and "{" not in path and each.dialect.plan.models_write is not None
        )
        spoken = (each.dialect for each in self.ingress.values())
        self.speaks: BoundDialect | None = next(listing, next(spoken, None))

    def find(self, path: str) -> tuple[Ingress | None, Mapping[str, str]]:
        """What takes requests at `path`, and what the path itself says."""
        found = self.ingress.get(path)
        if found is not None:
            return found, {}
        return self._patterns.find(path) or (None, {})


class App:
    """An ASGI application over one service.

    serves: which surfaces this address has. rebinding: refuse /admin to a Host that is no name of this
    machine itself; for a loopback address without a key, where only the browser's rules keep web pages out.
    guarded: /metrics asks for the admin key too, as other machines reach it.
    elsewhere: the paths, of those it serves, that another process answers, and who may ask; that one checks.
    """

    def __init__(
        self,
        service: Service,
        serves: frozenset[Surface] = frozenset({"clients", "metrics", "probes"}),
        *,
        rebinding: bool = False,
        guarded: bool = False,
        elsewhere: Mapping[str, Handler] | None = None,
    ) -> None:
        self._service = service
        self._clients = "clients" in serves
        self._rebinding = rebinding
        self._guarded = guarded
        self._fixed = {path: row for path, row in PATHS.items() if row[0] in serves}
        if self._clients:
            self._fixed[MODELS] = ("clients", "GET", send_models)
        for path, handler in (elsewhere or {}).items():
            if path in self._fixed:
                self._fixed[path] = ("probes", self._fixed[path][1], handler)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http":
            await _other(kind, receive, send)
            return
        snapshot = self._service.current()
        paths = self._service.paths
        if paths is None or paths.snapshot is not snapshot:
            paths = self._service.paths = Paths(self._service, snapshot)
        request_id = new_request_id()
        path: str = scope["path"]
        mounted = scope.get("root_path")
        if mounted and path.startswith(mounted):
            path = path[len(mounted) :] or "/"
        ingress, said = paths.find(path) if self._clients else (None, {})
        speaks = paths.speaks if ingress is None else ingress.dialect
        snapshot.pin()  # from here, not from its decision: a body may be long in coming
        try:
            head = read_head(scope["headers"], scope.get("http_version", "1.1"))
            if self._clients and scope.get("query_string"):
                check_address(scope["query_string"])
            if ingress is not None and scope["method"] == "POST":
                await ingress.answer(request_id, head, scope, receive, send, said)
                return
            exchange = Exchange(scope, head, receive, send, self._service, snapshot, speaks, request_id)
            await self._fixed_path(exchange, path, "POST" if ingress is not None else None)
        except EngineError as error:
            self._service.metrics.refused(error.code)
            exchange = Exchange(scope, {}, receive, send, self._service, snapshot, speaks, request_id)
            await exchange.fail(error, close=error.code in ("bad_host", "bad_transfer_encoding"))
        finally:
            snapshot.unpin()

    async def _fixed_path(self, exchange: Exchange, path: str, allowed: str | None) -> None:
        """Everything but a POST to a dialect's path. `allowed`: the path's only method, where it is one."""
        row = self._fixed.get(path)
        if row is None and allowed is None:
            raise RequestError(f"there is nothing at {_shown(path)}", status=404, code="unknown_path")
        surface, method, handler = row or ("clients", allowed or "POST", None)
        allow = f"{method}, OPTIONS" if method == "POST" else f"{method}, HEAD, OPTIONS"
        asked = exchange.scope["method"]
        if asked == "OPTIONS":
            await exchange.empty(204, [(b"allow", allow.encode())])
            return
        if handler is None or asked not in ((method,) if method == "POST" else (method, "HEAD")):
            self._service.metrics.refused("method_not_allowed")
            wrong = RequestError(f"{_shown(path)} takes {allow}", status=405, code="method_not_allowed")
            await exchange.fail(wrong, [(b"allow", allow.encode())])
            return
        if surface == "admin" or (surface == "metrics" and self._guarded):
            admin.check_allowed(exchange, rebinding=self._rebinding)
        try:
            await handler(exchange)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 - told as a fault of ours, never as a dropped connection
            self._service.log.fault("request_fault", error, request=exchange.request_id, path=path)
            await exchange.fail(EngineError("a fault in the engine; its log has the place"))


def _shown(path: str) -> str:
    """A path for a message: it comes from the client, so it is cut and made printable."""
    cut = path if len(path) <= 80 else path[:80] + "..."
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in cut)


async def _other(kind: str, receive: Receive, send: Send) -> None:
    """What is not HTTP: a life cycle that others manage, or a WebSocket, which nobody serves here."""
    if kind == "lifespan":
        while True:
            message: Mapping[str, Any] = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif kind == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
