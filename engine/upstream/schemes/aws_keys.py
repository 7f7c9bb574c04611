"""AWS keys, fetched: roles from STS, a process's output, the container's and the instance's endpoints."""

from __future__ import annotations

import asyncio
import html
import re
import shlex
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from engine.plan.values import Secret
from engine.upstream.schemes.answers import moment
from engine.upstream.schemes.aws_sources import (
    AssumeRole,
    Container,
    Instance,
    KeySource,
    Process,
    Static,
    WebIdentity,
)
from engine.upstream.schemes.errand import METADATA_S, Errand, accepted, is_own_machine
from engine.upstream.schemes.failed import AuthFailed
from engine.upstream.schemes.sigv4 import AwsKeys, Signer
from engine.upstream.schemes.tokens import Clock, Fetched
from engine.upstream.secrets import Secrets

_STS: Final = "AWS's token service"
_INSTANCE: Final = "the instance's metadata service"
_CONTAINER: Final = "the container's credential endpoint"
_SESSION: Final = "llm-runner-router"
_PROCESS_S: Final = 25.0
#: Keys without an end are looked at again after this time.
_NO_END_S: Final = 900.0
_CODE: Final = re.compile(rb"<Code>([A-Za-z.]{3,60})</Code>")


class KeyFetcher:
    """Gets keys. region: whose token service is asked; sts_url: another one."""

    def __init__(
        self,
        errand: Errand,
        secrets: Secrets,
        region: str,
        sts_url: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._errand = errand
        self._secrets = secrets
        self._clock = clock
        self._region = region
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        self._sts = (sts_url or f"https://sts.{region}.{suffix}").rstrip("/") + "/"

    async def fetch(self, source: KeySource) -> Fetched[AwsKeys]:
        """The keys of a source. Raises AuthFailed or SecretMissing."""
        match source:
            case Static(keys=keys):
                return Fetched(keys, self._clock() + _NO_END_S)
            case AssumeRole():
                return await self._assume(source)
            case WebIdentity():
                return await self._web_identity(source)
            case Process(command=command):
                return self._keys(await _run(command), "SessionToken", "the credential process")
            case Container():
                return await self._container(source)
            case Instance(url=url):
                return await self._instance(url)

    # --- the token service

    async def _assume(self, source: AssumeRole) -> Fetched[AwsKeys]:
        base = await self.fetch(source.base)
        form = {"RoleArn": source.role, "RoleSessionName": source.session or self._name()}
        if source.external_id is not None:
            form["ExternalId"] = source.external_id
        if source.seconds is not None:
            form["DurationSeconds"] = str(source.seconds)
        return await self._sts_call("AssumeRole", form, base.value)

    async def _web_identity(self, source: WebIdentity) -> Fetched[AwsKeys]:
        token = self._document(source.file)
        form = {
            "RoleArn": source.role,
            "RoleSessionName": source.session or self._name(),
            "WebIdentityToken": token,
        }
        return await self._sts_call("AssumeRoleWithWebIdentity", form, None)

    async def _sts_call(self, action: str, form: Mapping[str, str], keys: AwsKeys | None) -> Fetched[AwsKeys]:
        body = urlencode({"Action": action, "Version": "2011-06-15", **form}).encode()
        headers: tuple[tuple[str, str], ...] = (
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        )
        if keys is not None:
            signer = Signer("sts", self._region)
            headers = signer.sign("POST", self._sts, headers, body, keys, self._clock())
        status, data = await self._errand.send("POST", self._sts, headers, body, whom=_STS)
        if status in (400, 401, 403):
            code = _CODE.search(data)
            told = f", {code[1].decode()}" if code else ""
            raise AuthFailed("auth", f"{_STS} refused the credential ({status}{told})")
        accepted(status, data, _STS)
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        return self._keys({name: _tag(data, name) for name in names}, "SessionToken", _STS)

    def _name(self) -> str:
        return f"{_SESSION}-{int(self._clock())}"

    # --- endpoints of the machine

    async def _container(self, source: Container) -> Fetched[AwsKeys]:
        if not is_own_machine(urlsplit(source.url).hostname or ""):
            raise AuthFailed("auth", "AWS_CONTAINER_CREDENTIALS_FULL_URI is no address of this machine")
        token = source.token if source.token_file is None else self._document(source.token_file)
        headers = () if token is None else (("authorization", token),)
        body = await self._errand.json("GET", source.url, headers, whom=_CONTAINER, seconds=METADATA_S)
        return self._keys(body, "Token", _CONTAINER)

    async def _instance(self, url: str) -> Fetched[AwsKeys]:
        """Version 2 only: version 1 can be asked through a server that was tricked into it."""
        if not is_own_machine(urlsplit(url).hostname or ""):
            raise AuthFailed("auth", "AWS_EC2_METADATA_SERVICE_ENDPOINT is no address of this machine")
        lifetime = (("x-aws-ec2-metadata-token-ttl-seconds", "21600"),)
        token = await self._text("PUT", f"{url}/latest/api/token", lifetime)
        session = (("x-aws-ec2-metadata-token", token),)
        roles = f"{url}/latest/meta-data/iam/security-credentials/"
        role = await self._text("GET", roles, session)
        body = await self._errand.json(
            "GET", roles + quote(role.split("\n")[0], safe=""), session, whom=_INSTANCE, seconds=METADATA_S
        )
        return self._keys(body, "Token", _INSTANCE)

    async def _text(self, method: str, url: str, headers: tuple[tuple[str, str], ...]) -> str:
        status, data = await self._errand.send(method, url, headers, whom=_INSTANCE, seconds=METADATA_S)
        if status == 404:
            raise AuthFailed("auth", f"{_INSTANCE} has no role for this instance")
        text = accepted(status, data, _INSTANCE).decode("ascii", "replace").strip()
        if not text or not text.split("\n")[0].isprintable():
            raise AuthFailed("server", f"{_INSTANCE} gave an empty answer")
        return text

    def _document(self, path: str) -> str:
        """A token that others write into a file. Raises SecretMissing."""
        return self._secrets.get(Secret("file", path)).reveal()

    def _keys(self, body: Mapping[str, Any], token: str, whom: str) -> Fetched[AwsKeys]:
        texts = [body.get(name) for name in ("AccessKeyId", "SecretAccessKey", token)]
        for text in texts:
            if text is not None and not (isinstance(text, str) and text.isascii() and text.isprintable()):
                raise AuthFailed("server", f"{whom} gave keys that cannot be used")
        access, secret, session = texts
        if not access or not secret:
            raise AuthFailed("server", f"{whom} gave no keys")
        ends = moment(body.get("Expiration"))
        return Fetched(AwsKeys(access, secret, session or None), ends or self._clock() + _NO_END_S)


def _tag(data: bytes, name: str) -> str | None:
    """The text of the first element of a name: STS's answers have each of these once."""
    found = re.search(rf"<{name}>([^<]{{1,16384}})</{name}>", data.decode("utf-8", "replace"))
    return html.unescape(found[1]).strip() if found else None


async def _run(command: str) -> dict[str, Any]:
    """What a credential process prints, as the shared config files define it. Its words stay with it."""
    whom = "the credential process"
    try:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be read as a command"
        raise AuthFailed("auth", f"{whom} could not be started: {reason}") from None
    try:
        async with asyncio.timeout(_PROCESS_S):
            out, _ = await process.communicate()
    except TimeoutError:
        raise AuthFailed("timeout", f"{whom} did not end within {_PROCESS_S:.0f} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise AuthFailed("auth", f"{whom} ended with {process.returncode}")
    try:
        body = orjson.loads(out)
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("Version") != 1:
        raise AuthFailed("auth", f"{whom} printed something that is no version 1 of its form")
    return body
