"""``refresh``: from whatever the sources hold now to a champion, or to the reason why not.

Importing this module does not import Prefect: most scheduled refreshes find nothing new, and need neither Prefect's
server nor any model to say so. The flow itself is in ``pipeline.py``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink.errors import GateRefused, ServerError
from belink.lifecycle import refresh as refresh_steps
from belink.settings import Settings, load


def run(
    settings: Settings,
    linker: str,
    files: Mapping[str, Sequence[Path]] | None = None,
    retrain: refresh_steps.RetrainRule = "auto",
    *,
    share_restricted: bool = False,
) -> dict[str, Any]:
    """Refresh ``linker``: ``outcome`` (promoted, rejected, unchanged), ``version``, ``champion``, ``gates`` and more.

    :param files: ontology → local files instead of the declared address.
    :param share_restricted: an MLflow server elsewhere may hold releases that are not redistributable.
    :raises RegistryError: another refresh of the linker is running in this home, or its ontologies may not be shared.
    """
    given = files or {}
    begun = refresh_steps.start(settings, linker, tuple(given), retrain, share_restricted=share_restricted)
    refresh_steps.check_sharing(begun)
    with refresh_steps.exclusive(begun):
        current = refresh_steps.champion(begun)
        if current is not None and begun.retrain != "always":
            found = {name: refresh_steps.fetched(begun, name, given.get(name, ())) for name in begun.sources}
            if refresh_steps.is_unchanged(begun, found, current):
                return refresh_steps.unchanged(begun, current)

    from belink.flows import environment

    with environment.prepared(settings.home):
        from belink.flows.pipeline import RefreshRequest, refresh

        request = RefreshRequest(
            linker=linker,
            files={name: [str(path.absolute()) for path in paths] for name, paths in given.items()},
            retrain=retrain,
            share_restricted=share_restricted,
            home=str(settings.home),
            tracking_uri=_unless_default(settings),
        )
        try:
            answer: dict[str, Any] = refresh(request)
            return answer
        except GateRefused as error:
            from belink.lifecycle import promote

            return promote.release_refused(begun, current, error)
        except Exception as error:
            if not environment.is_without_server(error):
                raise
            raise ServerError(
                f"expected the Prefect server to stay, found {type(error).__name__} on the way; the champion is what "
                "it was, start the refresh again"
            ) from error


def _unless_default(here: Settings) -> str | None:
    """The registry's address where the flow would not find it by itself: Prefect stores parameters, and it may hold a
    password.
    """
    return None if load(here.home).tracking_uri == here.tracking_uri else here.tracking_uri
