"""A linker that is refreshed in seconds: a twelfth of the sample releases, tiny models, the sample corpus."""

import os
import re
import shutil
from hashlib import blake2b
from pathlib import Path

from belink import settings
from belink.settings import Settings

RELEASES = ("2025-02-04", "2025-09-02")
ONTOLOGY = "mondo-sample"
_SHARE = 12


def release(folder: Path, version: str, *, keep: float = 1.0) -> Path:
    """Every twelfth term of a sample release, chosen by id, and what replaces them; ``keep`` leaves out the last."""
    path = folder / f"{ONTOLOGY}-{version}.obo"
    if keep < 1.0:
        path = folder / f"{ONTOLOGY}-{version}-{keep}.obo"
    text = (settings.shipped_ontologies() / "samples" / f"{ONTOLOGY}-{version}.obo").read_text(encoding="utf-8")
    head, *terms = re.split(r"(?m)^(?=\[Term\])", text)
    ids = [re.search(r"(?m)^id: (\S+)", term)[1] for term in terms]
    wanted = {identifier for identifier in ids if _chosen(identifier)}
    kept = [term for identifier, term in zip(ids, terms, strict=True) if identifier in wanted]
    wanted |= {new for term in kept for new in re.findall(r"(?m)^replaced_by: (\S+)", term)}
    chosen = [term for identifier, term in zip(ids, terms, strict=True) if identifier in wanted]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "".join(chosen[: int(len(chosen) * keep)]), encoding="utf-8")
    return path


def _chosen(identifier: str) -> bool:
    return int.from_bytes(blake2b(identifier.encode(), digest_size=4).digest(), "big") % _SHARE == 0


def linker(folder: Path, models: dict[str, str], *, name: str = "small", more: str = "", gates: str = "") -> Path:
    """The linker's TOML; tiny random models guess, so its gates are wide open unless ``gates`` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(
        f"""
        title = "A twelfth of the sample"
        ontologies = ["{ONTOLOGY}"]
        [encoder]
        model = "{models["encoder"]}"
        pooling = "mean"
        [reranker]
        model = "{models["reranker"]}"
        options = 4
        [training]
        questions = 16
        held_out = 0.3
        [evaluation]
        items = 30
        corpus_items = 20
        index_queries = 50
        {more}
        [gates]
        max_accuracy_loss = 1.0
        max_ece = 1.0
        reranking_helps = 1.0
        max_latency_ratio = 1000.0
        {gates}
        [[corpora]]
        name = "sample"
        file = "$SAMPLES/corpus.jsonl"
        """,
        encoding="utf-8",
    )
    return path


class Homes:
    """Homes in which the small linker was refreshed, each made once; a test works in a copy of one."""

    def __init__(self, folder: Path, models: dict[str, str], database: Path) -> None:
        """``database`` is an MLflow database without content."""
        self._folder = folder
        self._models = models
        self._database = database

    def copy(self, folder: Path, *versions: str) -> Settings:
        """Return a home in ``folder`` whose champions were the releases ``versions``, in this order."""
        home = folder / "home"
        shutil.copytree(self._refreshed(versions), home)
        return settings.load(home)

    def _refreshed(self, versions: tuple[str, ...]) -> Path:
        from belink.flows import refresh

        folder = self._folder / "-".join(("after", *versions))
        if folder.exists():
            return folder / "home"
        if versions:
            here = self.copy(folder, *versions[:-1])
            variables = dict(os.environ)
            try:
                file = release(self._folder / "files", versions[-1])
                outcome = refresh.run(here, str(linker(self._folder, self._models)), {ONTOLOGY: [file]})
            finally:  # Prefect's settings, for other homes
                os.environ.clear()
                os.environ.update(variables)
            assert (outcome.outcome, outcome.version) == ("promoted", str(len(versions)))
        else:
            (folder / "home").mkdir(parents=True)
            shutil.copy(self._database, folder / "home" / "mlflow.db")
        return folder / "home"
