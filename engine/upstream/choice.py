"""The transport that calls to vendors take where nobody chose one.

Straight to the vendor is `DirectTransport`. Where the environment names a proxy it is `AiohttpTransport`,
which can speak to one; its loopback and NO_PROXY hosts go direct.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.upstream.protocol import Transport
from engine.upstream.proxies import Proxies


def default_transport(env: Mapping[str, str] | None = None) -> Transport:
    """One transport for a process. env: where proxies are named; default: the process's own environment."""
    proxies = Proxies.of_environment(env)
    if proxies:
        # Deferred, both: importing aiohttp takes long, and a plan with local models only needs neither.
        from engine.upstream.aiohttp_transport import AiohttpTransport

        return AiohttpTransport(proxies=proxies)
    from engine.upstream.direct_transport import DirectTransport

    return DirectTransport()
