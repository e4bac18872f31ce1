"""What ``belink feedback`` and ``belink review`` do, and how their answers read."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from belink import declarations
from belink.corpora import feedback, labelling
from belink.corpora.feedback import Correction, Withdrawal
from belink.errors import BelinkError, CorpusError
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.ontology.gold_ids import current_id
from belink.ontology.release import Release, list_releases, open_release
from belink.registry.open import open_linker
from belink.settings import Settings
from belink.text.sentences import in_brackets
from belink.training import splits
from belink.training.holdout import is_held_out

Answer = dict[str, Any]
_FAULTS = 10  # of an imported file that are listed


def list_corrections(settings: Settings, linker: str) -> Answer:
    """Return every correction of ``linker`` with what becomes of it, oldest first."""
    name, share, ignored = _name(linker), *_learning(settings, linker)
    records = feedback.read_records(settings, name)
    counting = feedback.standing(records)
    withdrawn = {record.withdraws for record in records if isinstance(record, Withdrawal)}
    states = {each.id: "held out" if is_held_out(each.group, "", share) else "teaches" for each in counting.agreed}
    if ignored:
        states = dict.fromkeys(states, "ignored")
    states |= {each.id: "conflict" for each in counting.conflicts}
    rows = [
        {
            "id": each.id,
            "at": each.at,
            "who": each.who,
            "verdict": each.verdict,
            "mention": each.mention,
            "concept": each.concept,
            "answered": each.answered,
            "state": states.get(each.id, "withdrawn" if each.id in withdrawn else "replaced"),
            "sentence": each.text,
            "start": each.start,
            "end": each.end,
            "document": each.document,
            "version": each.lineage.get("model_version", ""),
        }
        for each in records
        if isinstance(each, Correction)
    ]
    return {"linker": name, "corrections": rows, "ignored": ignored}


def export_corrections(settings: Settings, linker: str, output: Path, format: labelling.Format) -> Answer:
    """Write the corrections in force, without conflicts, for belink or for a labelling tool."""
    name = _name(linker)
    agreed = feedback.standing(feedback.read_records(settings, name)).agreed
    n = labelling.write_labelled(feedback.correction_documents(agreed), output, format)
    return {"linker": name, "sentences": n, "corrections": len(agreed), "output": str(output)}


def import_corrections(settings: Settings, linker: str, path: Path, who: str) -> Answer:
    """Store the labels of a file as corrections; those that are stored already are passed over.

    :raises CorpusError: a label is no concept of the linker; then nothing of the file is stored.
    """
    loaded, name = open_linker(settings, linker), _name(linker)
    counting = feedback.standing(feedback.read_records(settings, name))
    stored = {(each.place, each.who, each.outcome) for each in counting.in_force}
    faults: list[str] = []
    with ExitStack() as opened:
        releases = [opened.enter_context(open_release(folder)) for folder in bundle.release_folders(loaded.path)]
        corrections = list(_read_corrections(path, who, loaded, releases, faults))
    if faults:
        more = f"; and {len(faults) - _FAULTS} more" if len(faults) > _FAULTS else ""
        raise CorpusError(f"{path}: nothing is stored: {'; '.join(faults[:_FAULTS])}{more}")
    new = [each for each in corrections if (each.place, each.who, each.outcome) not in stored]
    feedback.append(settings, name, new)
    return {
        "linker": name, "stored": len(new), "known": len(corrections) - len(new), "ignored": loaded.ignores_corrections
    }  # fmt: skip


def _read_corrections(
    path: Path, who: str, linker: Linker, releases: Sequence[Release], faults: list[str]
) -> Iterator[Correction]:
    """Yield the corrections in a file; what is wrong with others is added to ``faults``."""
    for document in labelling.read_labelled(path):
        mentions = {(mention.start, mention.end): mention for mention in document.mentions}
        for span in document.judged or ():
            mention = mentions.get((span.start, span.end))
            gold = mention.gold if mention is not None else ()
            try:
                if len(gold) > 1:
                    raise CorpusError(f"expected one concept a mention, found {', '.join(gold)}")
                concept = _imported_id(gold[0], releases, linker) if gold else None
                yield feedback.make_correction(
                    document.text,
                    span.start,
                    span.end,
                    span.verdict,
                    who,
                    concept=concept,
                    # A sentence without a document is exported under an id of its own, which it has again here.
                    document="" if document.id.startswith(feedback.SENTENCE) else document.id,
                    lineage=linker.lineage,
                )
            except CorpusError as error:
                faults.append(f"{document.text[span.start : span.end][:60]!r}: {error}")


def _imported_id(identifier: str, releases: Sequence[Release], linker: Linker) -> str:
    """Return the id to store; files may be older than the release, so one that was replaced becomes its successor."""
    for release in releases:
        if len(successors := release.successor(identifier)) == 1:
            return current_id(successors[0], releases, linker.index.__contains__)
    return current_id(identifier, releases, linker.index.__contains__)


def review(settings: Settings, linker: str, input_: Path, n: int, output: Path | None) -> Answer:
    """Return the mentions of ``input_`` that are most worth a judgement; ``output`` receives them as a queue."""
    from belink.corpora.files import read_documents
    from belink.linker.review import review_queue, write_queue

    loaded, name = open_linker(settings, linker), _name(linker)
    counting = feedback.standing(feedback.read_records(settings, name))
    items = review_queue(
        loaded,
        read_documents(input_),
        n,
        new_concepts=_new_concepts(settings, loaded),
        judged={each.place for each in counting.in_force},
    )
    if output is not None:
        write_queue(items, output)
    where = None if output is None else str(output)
    return {
        "linker": name,
        "output": where,
        "items": [i.to_dict() for i in items],
        "ignored": loaded.ignores_corrections,
    }


def _new_concepts(settings: Settings, linker: Linker) -> set[str]:
    """Return the concepts that the home's release before did not have; none where there is no such release."""
    new: set[str] = set()
    for folder in bundle.release_folders(linker.path):
        with open_release(folder) as release:
            version = release.version
        before = [path for path in list_releases(settings, folder.name) if path.name < version]
        if before:
            new |= splits.concept_ids([folder]) - splits.concept_ids(before[-1:])
    return new


def _name(linker: str) -> str:
    plain = linker.partition("@")[0]
    return declarations.load_linker(plain).name if plain.endswith(".toml") else plain


def _learning(settings: Settings, linker: str) -> tuple[float, bool]:
    """Return the share of documents that teach nothing, and whether none does: as the champion has it, or declared."""
    try:
        champion = open_linker(settings, linker)
        return champion.declaration.training.held_out_documents, champion.ignores_corrections
    except BelinkError:
        declared = declarations.load_linker(linker.partition("@")[0])
        return declared.training.held_out_documents, not feedback.is_learned(declared)


def listed(answer: Answer) -> str:
    """Return the list of corrections as text."""
    rows = answer["corrections"]
    if not rows:
        return f"{answer['linker']}: no corrections; belink serve {answer['linker']} --feedback stores them"
    lines = [_listed_row(row) for row in rows]
    counts = {state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(r["state"] for r in rows)}
    total = ", ".join(f"{state} {n}" for state, n in counts.items())
    conflict = "; people disagree where it says conflict: it teaches nothing" if counts.get("conflict") else ""
    lines.append(f"{answer['linker']}: {len(rows)} corrections: {total}{conflict}")
    return "\n".join([*lines, *_everywhere(rows), *_note(answer)])


def _note(answer: Answer) -> list[str]:
    return [feedback.ignored_note(answer["linker"])] if answer.get("ignored") else []


def _everywhere(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what those corrections do that count for a name in every text."""
    effects = {
        "no-mention": '"no mention" stops these names in every text, unless other corrections or corpora annotate them',
        "nil": "NIL is the answer to these names in every text, unless another correction gives them a concept",
    }
    lines = []
    for verdict, effect in effects.items():
        names = sorted({row["mention"] for row in rows if row["state"] == "teaches" and row["verdict"] == verdict})
        if names:
            lines.append(f"{effect}: {', '.join(names)}")
    return lines


def _listed_row(row: dict[str, Any]) -> str:
    outcome = row["concept"] or {"nil": "NIL", "no-mention": "no mention"}[row["verdict"]]
    head = f"{row['at'][:10]}  {row['state']:<9}  {row['verdict']:<10}  {outcome:<16}"
    return f"{head}  {in_brackets(row['sentence'], row['start'], row['end'])}  {row['who']}  {row['id']}"


def exported(answer: Answer) -> str:
    """Return what an export wrote, as text."""
    return f"{answer['corrections']} corrections in {answer['sentences']} sentences → {answer['output']}"


def imported(answer: Answer) -> str:
    """Return what an import stored, as text."""
    line = f"{answer['linker']}: {answer['stored']} corrections stored, {answer['known']} were there already"
    return "\n".join([line, *_note(answer)])


def queued(answer: Answer) -> str:
    """Return a review queue as text."""
    items = answer["items"]
    lines = [
        f"{i['score']:>8.2f}  {i['n_mentions']:>5} ×  {i['probability']:.2f}  {i['id'] or 'NIL':<16}  "
        f"{in_brackets(i['text'], i['start'], i['end'])}"
        for i in items
    ]
    if answer["output"]:
        where = f"{len(items)} mentions → {answer['output']}; show them: belink serve {answer['linker']} --feedback "
        lines += [f"{where}--review {answer['output']}", *_note(answer)]
    return "\n".join(lines) or "no mention was found that nobody has judged"
