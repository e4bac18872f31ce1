"""Prefect flows: which step of ``belink.lifecycle`` runs, in what order, what is retried and where it runs.

``refresh`` is what the command line runs; it imports Prefect only where there is something to do. ``pipeline`` has the
flow and its tasks, ``deployed`` the flows of a team's server. ``deployments`` and ``deploy`` set up that server, and
``environment`` sets up Prefect itself. ``linkers/`` holds one TOML a linker.
"""
