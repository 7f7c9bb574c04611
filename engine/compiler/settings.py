"""The settings of a deployment: what its provider file asks for, checked, with defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.compiler.addresses import fits, unsafe
from engine.compiler.document import Document, Path
from engine.compiler.resolve import there_is
from engine.diagnostics import Diagnostics
from engine.spec.fault import shown
from engine.spec.where import SettingSpec


def given(
    provider: str,
    declared: Mapping[str, SettingSpec],
    values: Mapping[str, str],
    *,
    addresses: Collection[str],
    needless: Collection[str],
    document: Document,
    path: Path,
    out: Diagnostics,
) -> dict[str, str]:
    """Setting -> value. What is missing, unknown or ill-formed is told, with what it is for.

    Args:
        provider: its name, for messages.
        declared: what the provider file asks for.
        values: what stands at `path` + `settings`.
        addresses: those that the values will stand in.
        needless: settings that may be missing, as nothing will stand for them.
        document: the file, and `path` the owner of the settings in it.
    """
    for name in sorted(values.keys() - declared.keys()):
        message = f"{provider} has no setting `{name}`"
        out.add("E415", message, document.key_span((*path, "settings", name)), help=there_is(name, declared))
    found: dict[str, str] = {}
    for name, setting in declared.items():
        value = values.get(name, setting.default)
        if value is None:
            if not setting.optional and name not in needless:
                _missing(provider, name, setting, document, path, out)
            continue
        found[name] = value
        why = None
        if not fits(setting, value):
            why = f"it must match {setting.pattern}"
        for address in addresses:
            why = why or unsafe(address, name, value)
        if why is not None and name in values:
            message = f"{shown(value)} cannot be the setting `{name}` of {provider}: {why}"
            out.add("E415", message, document.span((*path, "settings", name)), help=_example(name, setting))
    return found


def _missing(
    provider: str, name: str, setting: SettingSpec, document: Document, path: Path, out: Diagnostics
) -> None:
    message = f"{provider} needs the setting `{name}`"
    out.add("E415", message, document.key_span(path), help=_example(name, setting))


def _example(name: str, setting: SettingSpec) -> str:
    shown_value = setting.example or "..."
    return f"{setting.meaning.rstrip('.')}; write settings: {{{name}: {shown_value}}}"
