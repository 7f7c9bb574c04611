"""What is looked at before a sidecar listens: who could come in, and what they could reach."""

from __future__ import annotations

from pathlib import Path

from engine.control.settings import ProcessSettings
from engine.plan.plan import Plan
from engine.plan.values import Secret
from engine.server.app import Surface
from engine.server.head import is_loopback
from engine.server.listen import split_address
from engine.server.service import AdminKey
from engine.server.tls import TlsFault, make_context
from engine.state.open_keys import open_keys
from engine.state.store_fault import StoreAway
from engine.upstream.secrets import SecretMissing, Secrets


class StartError(Exception):
    """The sidecar cannot start. The text says why and what to do."""


def stays_here(address: str) -> bool:
    """Whether only this machine reaches an address. Raises AddressError."""
    return is_loopback(split_address(address)[0])


def on_listen(settings: ProcessSettings) -> set[Surface]:
    """What the clients' address serves of /admin and /metrics.

    Without an address of its own, /admin is there; where other machines reach it, only behind the admin key,
    and so is /metrics.
    """
    if stays_here(settings.listen):
        return {"metrics"} if settings.admin is not None else {"admin", "metrics"}
    return set() if settings.admin is not None or settings.admin_key is None else {"admin", "metrics"}


async def check_addresses(settings: ProcessSettings, plan: Plan, workspace: Path) -> None:
    """Refuse what would let strangers in. Raises StartError, AddressError."""
    if not stays_here(settings.listen) and not await _somebody(settings, plan, workspace):
        raise StartError(
            f"{settings.listen} can be reached from other machines, and there are no client keys; "
            "make one (`engine keys new NAME`), or listen on a loopback address such as 127.0.0.1:8080"
        )
    admin = settings.admin
    if admin is not None and settings.admin_key is None and not is_loopback(split_address(admin)[0]):
        raise StartError(
            f"admin: {admin} can be reached from other machines; set `admin_key` in engine.yaml, "
            "or take a loopback address"
        )


async def _somebody(settings: ProcessSettings, plan: Plan, workspace: Path) -> bool:
    """Whether anybody can show who they are: there is a key in Git or in the state store, good or not, or
    somebody else vouches for clients.
    """
    people = plan.people()
    if people.clients or people.issuers or people.certificates:
        return True
    try:
        store = await open_keys(settings.state, workspace)
        if store is None:
            return False
        try:
            return bool(await store.every())
        finally:
            await store.close()
    except StoreAway:
        return True  # nobody knows, and until somebody does, nobody without a key comes in
    except OSError as error:
        raise StartError(str(error)) from None


def check_tls(settings: ProcessSettings) -> None:
    """Refuse files that no connection could be made with. Raises StartError."""
    if settings.tls is not None:
        try:
            make_context(settings.tls)
        except TlsFault as fault:
            raise StartError(str(fault)) from None


def admin_key(settings: ProcessSettings) -> AdminKey | None:
    if settings.admin_key is None:
        return None
    source, _, name = settings.admin_key.partition(":")
    try:
        key = Secrets().get(Secret(source, name))  # type: ignore[arg-type] # checked by the compiler
    except SecretMissing as missing:
        raise StartError(f"admin_key: {missing}") from None
    if len(key.reveal()) < 16:
        raise StartError("admin_key is shorter than 16 characters, so it can be guessed; take a longer one")
    return AdminKey(key.reveal())
