"""axe-core, which finds faults of accessibility in a page; fetched with npm, kept in the user's cache."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

# MPL-2.0 and over 500 kB, so it is fetched for tests rather than kept here.
VERSION = "4.10.3"
SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="


def script() -> str:
    """Return axe-core's source; skip the test where it is not cached and npm cannot fetch it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "belink-tests"
    archive = cache / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm on this machine to fetch axe-core with")
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", f"axe-core@{VERSION}", "--pack-destination", str(cache), "--silent"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, cwd=cache)
        if done.returncode:
            pytest.skip(f"npm could not fetch axe-core: {done.stderr.strip()[-200:]}")
    content = archive.read_bytes()
    assert base64.b64encode(hashlib.sha512(content).digest()).decode() == SHA512, f"{archive}: another axe-core"
    with tarfile.open(archive) as opened:
        member = opened.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def violations(page: Page, source: str) -> list[str]:
    """Return what axe finds wrong with ``page`` as it is shown: rule, and the elements at fault."""
    # `evaluate` goes through the debugger's protocol, so the page's own strict policy stays in force.
    page.evaluate(source)
    result: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in result["violations"]]
