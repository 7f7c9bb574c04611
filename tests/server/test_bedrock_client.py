"""botocore's own client over a real socket, in front of a vendor of another format."""

from __future__ import annotations

import asyncio
from typing import Any

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from running import Running
from vendor import Vendor, answers, streams

HI: Any = [{"role": "user", "content": [{"text": "Hello?"}]}]


@pytest.fixture
def client(sidecar: Running) -> Any:
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}, proxies={})
    return botocore.session.Session().create_client(
        "bedrock-runtime", region_name="eu-central-1", endpoint_url=sidecar.url, config=config
    )


async def test_an_answer(client: Any, vendor: Vendor) -> None:
    answer = await asyncio.to_thread(
        client.converse,
        modelId="one",
        messages=HI,
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 50},
    )
    assert answer["output"]["message"]["content"] == [{"text": "Hello!"}]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"]["totalTokens"] == 15
    assert [each["role"] for each in vendor.bodies[0]["messages"]] == ["system", "user"]


async def test_a_stream(client: Any, vendor: Vendor) -> None:
    vendor.answer = streams()

    def read() -> list[dict[str, Any]]:
        return list(client.converse_stream(modelId="both", messages=HI)["stream"])

    events = await asyncio.to_thread(read)
    texts = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert "".join(texts) == "Hello!"
    assert [next(iter(event)) for event in events[-2:]] == ["messageStop", "metadata"]


async def test_errors(client: Any, vendor: Vendor) -> None:
    vendor.answer = answers({"error": {"message": "no", "type": "x", "code": None}}, 429)
    with pytest.raises(client.exceptions.ThrottlingException):
        await asyncio.to_thread(client.converse, modelId="once", messages=HI)
    with pytest.raises(ClientError, match="nobody"):
        await asyncio.to_thread(client.converse, modelId="nobody", messages=HI)
