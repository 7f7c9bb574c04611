"""Where AWS keys come from: the decision alone, without asking anybody. In the order of AWS's own tools.

A credential of the workspace decides by what it names: keys, a profile, a role with a token's file, a role on
top of any of them. Without one: the environment's keys, the profile (a role to assume, a web identity, keys,
a process), the container's endpoint, the instance's metadata. A test compares the order with botocore's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.upstream.schemes.aws_profiles import Profile, Profiles
from engine.upstream.schemes.given import Given
from engine.upstream.schemes.sigv4 import AwsKeys
from engine.upstream.secrets import SecretMissing

#: Profiles that point at one another: as many as anybody has.
_MOST_HOPS: Final = 8


@dataclass(frozen=True, slots=True)
class Static:
    """Keys that are here. where: for people."""

    keys: AwsKeys
    where: str


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """A role, asked for with other keys."""

    role: str
    base: KeySource
    session: str | None = None
    external_id: str | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """A role, asked for with a token that somebody writes into a file."""

    role: str
    file: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """A command that prints keys."""

    command: str


@dataclass(frozen=True, slots=True)
class Container:
    """The endpoint of ECS or of EKS's pod identity. token, token_file: what it is asked with."""

    url: str
    token: str | None = None
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """The metadata service of an EC2 instance, version 2."""

    url: str


KeySource = Static | AssumeRole | WebIdentity | Process | Container | Instance

_INSTANCE: Final = "http://169.254.169.254"
_INSTANCE_6: Final = "http://[fd00:ec2::254]"
_CONTAINER: Final = "http://169.254.170.2"


def find(given: Given, profiles: Profiles) -> KeySource:
    """The source to use now. Raises SecretMissing, saying what is incomplete or that there is none."""
    return _explicit(given, profiles) if given.explicit else _default(given.env, profiles)


def told(source: KeySource) -> str:
    """A source in words, without keys."""
    match source:
        case Static(where=where):
            return where
        case AssumeRole(base=base):
            return f"a role, assumed with {told(base)}"
        case WebIdentity():
            return "a web identity token"
        case Process():
            return "a credential process"
        case Container():
            return "the container's endpoint (not asked)"
        case Instance():
            return "the instance's metadata service (not asked)"


def _explicit(given: Given, profiles: Profiles) -> KeySource:
    role, profile = given.text("role"), given.text("profile")
    access, file = given.text("access_key"), given.text("token_file")
    session = given.text("session_name")
    if file is not None:
        if role is None:
            raise SecretMissing("the credential has a `token_file` and no `role` to ask for with it")
        return WebIdentity(role, file, session)
    if access is not None:
        keys = AwsKeys(access, given.need("secret_key"), given.text("session_token"))
        base: KeySource = Static(keys, "the credential's keys")
    elif profile is not None:
        base = _of_profile(profile, given.env, profiles, ())
    else:
        base = _default(given.env, profiles)
    return base if role is None else AssumeRole(role, base, session, given.text("external_id"))


def _default(env: Mapping[str, str], profiles: Profiles) -> KeySource:
    found: KeySource | None = _of_environment(env)
    if found is not None:
        return found
    name = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE")
    entry = profiles.of(name or "default")
    if name is not None and entry is None:
        raise SecretMissing(f"AWS_PROFILE names the profile `{name}`, which no file has")
    if entry is not None and _assumes(_merged(entry)):
        return _of_profile(name or "default", env, profiles, ())
    web = _web_identity(env, {} if entry is None else _merged(entry))
    if web is not None:
        return web
    if entry is not None:
        found = _plain(entry, name or "default")
        if found is not None:
            return found
    machine = _container(env) or _instance(env)
    if machine is None:
        raise SecretMissing(
            "no AWS credentials: no keys, profile, web identity or container in the environment"
        )
    return machine


def _of_environment(env: Mapping[str, str]) -> Static | None:
    access = env.get("AWS_ACCESS_KEY_ID", "").strip()
    if not access:
        return None
    secret = env.get("AWS_SECRET_ACCESS_KEY", "").strip()
    if not secret:
        raise SecretMissing("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not")
    token = env.get("AWS_SESSION_TOKEN", "").strip() or env.get("AWS_SECURITY_TOKEN", "").strip()
    return Static(AwsKeys(access, secret, token or None), "the environment's keys")


def _of_profile(name: str, env: Mapping[str, str], profiles: Profiles, above: tuple[str, ...]) -> KeySource:
    """What a named profile leads to. above: the profiles that led here."""
    entry = profiles.of(name)
    if entry is None:
        raise SecretMissing(f"no file has the AWS profile `{name}`")
    profile = _merged(entry)
    own = above[-1:] == (name,)  # it names itself: its keys are meant
    if (name in above and not own) or len(above) > _MOST_HOPS:
        raise SecretMissing(f"the AWS profile `{name}` leads back to itself")
    if _assumes(profile) and not own and not (above and _has_keys(profile)):
        return _assumed(name, profile, env, profiles, above)
    if (file := profile.get("web_identity_token_file")) is not None:
        role = profile.get("role_arn")
        if role is None:
            raise SecretMissing(f"the AWS profile `{name}` has a web identity and no role_arn")
        return WebIdentity(role, file, profile.get("role_session_name"))
    found = _plain(entry, name)
    if found is None:
        raise SecretMissing(f"the AWS profile `{name}` has no keys, role or process{_unsupported(profile)}")
    return found


def _assumed(
    name: str, profile: Profile, env: Mapping[str, str], profiles: Profiles, above: tuple[str, ...]
) -> AssumeRole:
    if "mfa_serial" in profile:
        raise SecretMissing(
            f"the AWS profile `{name}` asks for a code (mfa_serial), which nobody can type here"
        )
    source, origin = profile.get("source_profile"), profile.get("credential_source")
    if (source is None) == (origin is None):
        raise SecretMissing(
            f"the AWS profile `{name}` needs one of source_profile and credential_source beside its role_arn"
        )
    if source is not None:
        base = _of_profile(source, env, profiles, (*above, name))
    else:
        makers = {
            "Environment": _of_environment,
            "EcsContainer": _container,
            "Ec2InstanceMetadata": _instance,
        }
        maker = makers.get(origin or "")
        if maker is None:
            raise SecretMissing(f"the AWS profile `{name}` has a credential_source that does not exist")
        found: KeySource | None = maker(env)
        if found is None:
            raise SecretMissing(f"the AWS profile `{name}` has its keys from {origin}, where none are")
        base = found
    seconds = profile.get("duration_seconds", "")
    return AssumeRole(
        profile["role_arn"],
        base,
        profile.get("role_session_name"),
        profile.get("external_id"),
        int(seconds) if seconds.isdigit() else None,
    )


def _plain(entry: tuple[Profile, Profile], name: str) -> KeySource | None:
    """Keys or a process: the credentials file's keys, a process, the config file's keys."""
    shared, config = entry
    keys = _keys(shared, name)
    if keys is not None:
        return keys
    command = _merged(entry).get("credential_process")
    return Process(command) if command else _keys(config, name)


def _keys(profile: Profile, name: str) -> Static | None:
    access = profile.get("aws_access_key_id")
    if not access:
        return None
    secret = profile.get("aws_secret_access_key")
    if not secret:
        raise SecretMissing(f"the AWS profile `{name}` has an aws_access_key_id and no aws_secret_access_key")
    token = profile.get("aws_session_token") or profile.get("aws_security_token")
    return Static(AwsKeys(access, secret, token or None), f"the AWS profile `{name}`")


def _web_identity(env: Mapping[str, str], profile: Profile) -> WebIdentity | None:
    """Field by field the environment's word, else the profile's, as botocore has it."""
    file = env.get("AWS_WEB_IDENTITY_TOKEN_FILE") or profile.get("web_identity_token_file")
    if not file:
        return None
    role = env.get("AWS_ROLE_ARN") or profile.get("role_arn")
    if not role:
        raise SecretMissing("a web identity's token file is named, and AWS_ROLE_ARN is not set")
    session = env.get("AWS_ROLE_SESSION_NAME") or profile.get("role_session_name")
    return WebIdentity(role, file, session or None)


def _container(env: Mapping[str, str]) -> Container | None:
    relative = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = f"{_CONTAINER}{relative}" if relative else env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url:
        return None
    file = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") or None
    token = None if file else env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN") or None
    return Container(url, token, file)


def _instance(env: Mapping[str, str]) -> Instance | None:
    if env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    six = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    url = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or (_INSTANCE_6 if six else _INSTANCE)
    return Instance(url.rstrip("/"))


def _merged(entry: tuple[Profile, Profile]) -> Profile:
    """Both files' words on a profile, the credentials file's first."""
    return {**entry[1], **entry[0]}


def _assumes(profile: Profile) -> bool:
    return "role_arn" in profile and "web_identity_token_file" not in profile


def _has_keys(profile: Profile) -> bool:
    return "aws_access_key_id" in profile or "aws_secret_access_key" in profile


def _unsupported(profile: Profile) -> str:
    sso = any(key.startswith("sso_") for key in profile)
    return (
        ": AWS SSO is not supported, `aws configure export-credentials` as its credential_process is"
        if sso
        else ""
    )
