"""A registry whose disk is full says so in one line, and prints nothing else."""

import pytest
from sqlalchemy import Engine, event

from belink.errors import RegistryError
from belink.registry.store import Store, one_line, setup
from belink.settings import Settings


@pytest.mark.heavy
def test_a_full_disk_is_told_in_one_line_and_nothing_else_is_printed(
    registry_home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    setup(registry_home)

    def fill(connection: object, _record: object) -> None:
        # SQLite then answers as on a full disk.
        connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

    event.listen(Engine, "connect", fill)
    capfd.readouterr()
    try:
        # Longer than the pages that the file has.
        with pytest.raises(RegistryError) as caught, one_line("sample: could not be noted"):
            client = setup(registry_home)
            for i in range(200):
                client.create_registered_model(f"sample-{i}", description="x" * 4000)
    finally:
        event.remove(Engine, "connect", fill)
    assert str(caught.value).startswith("sample: could not be noted: expected room on the registry's disk, found none")
    assert capfd.readouterr() == ("", "")
    assert Store(registry_home)


def test_what_sqlalchemy_was_doing_does_not_hide_what_happened() -> None:
    from sqlalchemy.exc import OperationalError

    error = OperationalError("INSERT", {}, Exception("no such table: tags"))
    error.add_detail("raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block")
    with pytest.raises(RegistryError, match="no such table: tags"), one_line("sample"):
        raise error
