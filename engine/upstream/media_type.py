"""What fetched bytes are: images and PDF by their first bytes, other documents by what their server says."""

from __future__ import annotations

from typing import Final

_IMAGES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
#: Documents that vendors read. A page of HTML is one only where the client says so: mostly it is an error.
_DOCUMENTS: Final = frozenset(
    {
        "text/plain", "text/csv", "text/markdown", "application/json", "application/msword",
        "application/vnd.ms-excel", f"{_OFFICE}wordprocessingml.document", f"{_OFFICE}spreadsheetml.sheet",
    }
)  # fmt: skip


def media_type(data: bytes, declared: str, said: str | None, *, image: bool) -> str | None:
    """The media type of the data; None where it is not what it should be.

    Args:
        data: the bytes.
        declared: what the server says, without parameters.
        said: what the client said, if anything.
        image: whether it must be an image.
    """
    if image:
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return "image/webp"
        return next((kind for magic, kind in _IMAGES if data.startswith(magic)), None)
    if data.startswith(b"%PDF-"):
        return "application/pdf"
    if declared == "application/pdf" or declared.startswith("image/"):
        return None
    if declared in _DOCUMENTS or (declared == "text/html" and said == "text/html"):
        return declared
    return None
