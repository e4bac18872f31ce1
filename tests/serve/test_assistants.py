"""``belink mcp``: the tools as an assistant's client finds them, over standard input and output and over HTTP."""

import asyncio
import json
import os
import shlex
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("mcp")

import httpx2
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from belink.serve import assistants
from belink.serve.application import Limits, configuration
from tests.support.made_releases import concept
from tests.support.serving import Made, register_concepts, until

TEXT = "Heparin was given to a patient with aspirin intolerance."


@pytest.fixture(scope="module")
def home(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("assistants")
    register_concepts(served_home, folder, "tools", "Chemical", concept(1, "heparin"), concept(2, "aspirin"))
    return served_home


def ask(server: Any, question: Callable[[Client], Awaitable[Any]]) -> Any:
    async def asking() -> Any:
        async with Client(server) as client:
            return await question(client)

    return asyncio.run(asyncio.wait_for(asking(), 120))


@contextmanager
def over_http(home: Made, **limits: Any) -> Iterator[str]:
    chosen = Limits(**limits)
    service = assistants._start(home.here, ["tools"], chosen, 5.0)
    server = uvicorn.Server(configuration(assistants.application(service, chosen), "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{assistants.PATH}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        service.close()


async def use_every_tool(client: Client) -> None:
    tools = {tool.name for tool in (await client.list_tools()).tools}
    assert tools == {"link_text", "search", "concept", "lineage"}
    answer = await client.call_tool("link_text", {"text": TEXT, "min_probability": 0})
    assert not answer.is_error, answer.content
    links = {link["text"].lower(): link["id"] for link in answer.structured_content["links"]}
    assert links == {"heparin": "X:1", "aspirin": "X:2"}
    assert answer.structured_content["lineage"]["linker"] == "tools"
    found = await client.call_tool("search", {"query": "asprin", "limit": 1})
    assert [each["id"] for each in found.structured_content["concepts"]] == ["X:2"]
    described = await client.call_tool("concept", {"id": "X:1"})
    assert described.structured_content["label"] == "heparin"
    missing = await client.call_tool("concept", {"id": "X:404"})
    assert missing.is_error and "X:404: no concept of tools-terms" in missing.content[0].text
    lineage = await client.call_tool("lineage", {})
    assert lineage.structured_content["releases"] == {"tools-terms": "2025-01-01"}
    assert (await client.call_tool("search", {"query": "a", "limit": 1000})).is_error


def test_an_assistant_uses_every_tool_over_standard_input_which_holds_the_protocol_alone(
    home: Made, tmp_path: Path
) -> None:
    belink = [sys.executable, "-m", "belink.cli.main", "-v", "--home", str(home.here.home), "mcp", "tools"]
    kept = f"{shlex.join(belink)} | tee {shlex.quote(str(tmp_path / 'output'))}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ask(StdioServerParameters(command="sh", args=["-c", kept], env=environment), use_every_tool)
    lines = (tmp_path / "output").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 5
    assert {json.loads(line)["jsonrpc"] for line in lines} == {"2.0"}


def test_an_assistant_uses_every_tool_over_http(home: Made) -> None:
    with over_http(home) as url:
        ask(url, use_every_tool)


def test_the_limits_and_the_token_of_the_service_hold_over_http(home: Made) -> None:
    with over_http(home, token="secret", max_bytes=2000) as url:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        assert httpx.post(url, json=body).status_code == 401
        bearer = {"Authorization": "Bearer secret"}
        assert httpx.post(url, json=body, content=b"x" * 3000, headers=bearer).status_code == 413
        client = httpx2.AsyncClient(headers=bearer)
        ask(streamable_http_client(url, http_client=client), lambda asked: asked.list_tools())
    with over_http(home) as url:  # a page whose name was made to resolve to this machine
        assert httpx.post(url, json=body, headers={"Host": "evil.example"}).status_code == 421
        # What a browser sends from any page without asking first.
        assert httpx.post(url, json=body, headers={"Content-Type": "text/plain"}).status_code in (400, 415)
    with over_http(home, hosts=("belink.example",)) as url:
        assert httpx.post(url, json=body, headers={"Host": "belink.example"}).status_code not in (403, 421)


def test_a_text_that_is_too_long_or_takes_too_long_is_an_error_that_says_what_to_do(home: Made) -> None:
    def told(**limits: Any) -> str:
        service = assistants._start(home.here, ["tools"], Limits(**limits), 5.0)
        try:
            server = assistants.server(service, Limits(**limits))
            answer = ask(server, lambda client: client.call_tool("link_text", {"text": TEXT * 10}))
        finally:
            service.close()
        assert answer.is_error
        return str(answer.content[0].text)

    assert "expected at most 100 bytes" in told(max_bytes=100)
    assert "not answered within 1e-06 s; send less at a time" in told(seconds=1e-6)
