"""``refresh``: from whatever the sources hold now to a champion, or to the reason why not.

Importing this module does not import Prefect: most scheduled refreshes find nothing new, and need neither Prefect's
server nor any model to say so. The flow itself is in ``pipeline.py``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from belink.errors import GateRefused, ServerError, first_line
from belink.lifecycle import refresh as steps
from belink.lifecycle.failure import failure_noted
from belink.lifecycle.outcome import RefreshOutcome
from belink.settings import Settings, load


def run(
    settings: Settings,
    linker: str,
    files: Mapping[str, Sequence[Path]] | None = None,
    retrain: steps.RetrainRule = "auto",
    *,
    versions: Mapping[str, str] | None = None,
    accept: bool = False,
    share_restricted: bool = False,
) -> RefreshOutcome:
    """Return how the refresh of ``linker`` ended: promoted, rejected or unchanged, with the version and the gates.

    :param files: ontology → local files instead of the declared address.
    :param linker: its name, or an ontology's, or the path to a TOML of either.
    :param versions: ontology → the version to ask its address for; it is also the release's.
    :param accept: take releases that a gate on releases refuses; the linker's own gates still decide.
    :param share_restricted: an MLflow server elsewhere may hold releases that are not redistributable.
    :raises RegistryError: another refresh of the linker is running in this home, or its ontologies may not be shared.
    """
    given = files or {}
    run = steps.start(settings, linker, tuple(given), retrain, versions=versions, share_restricted=share_restricted)
    steps.check_sharing(run)
    with steps.exclusive(run), failure_noted(run):
        if steps.may_be_unchanged(run) and (outcome := steps.find_changes(run, given).outcome) is not None:
            return outcome

    # The lock is free again here, because the flow takes it itself and a file lock is not re-entrant across objects.
    from belink.flows import environment

    with environment.prepared(settings.home):
        from belink.flows.pipeline import RefreshRequest, refresh

        request = RefreshRequest(
            linker=linker,
            # Prefect stores parameters as JSON, which has no paths.
            files={name: [str(path.absolute()) for path in paths] for name, paths in given.items()},
            versions=dict(versions or {}),
            accept=accept,
            retrain=retrain,
            share_restricted=share_restricted,
            home=str(settings.home),
            tracking_uri=_unless_default(settings),
        )
        try:
            return cast(RefreshOutcome, refresh(request))  # Prefect hands back what the flow's last state holds
        except GateRefused as error:
            from belink.lifecycle import promotion

            return promotion.refuse_release(run, error)
        except Exception as error:
            if not environment.is_without_server(error):
                raise
            raise ServerError(
                f"expected a Prefect server that answers, found: {first_line(error)}; the champion is what it was. "
                "Start the refresh again; on a busy machine PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=900 gives "
                "a temporary server more time to start"
            ) from error


def _unless_default(settings: Settings) -> str | None:
    """Return the registry's address if the flow would not find it by itself.

    Prefect stores the parameters of a flow, and the address may hold a password.
    """
    return None if load(settings.home).tracking_uri == settings.tracking_uri else settings.tracking_uri
