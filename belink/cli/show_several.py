"""Texts of answers about several things at once: a corpus in many files, and linkers that are registered as one."""

from collections.abc import Sequence

from belink.cli.show import Answer

_SHOWN = 3  # names of files


def linked_files(answer: Answer) -> str:
    """Return the counts of many files, and a line for each that could not be read."""
    n_failed = len(answer["failed"])
    n_linked = answer["shards"] - answer["kept"] - n_failed
    lines = [
        f"{n_linked:,} files linked, {answer['kept']:,} were finished, {n_failed:,} could not be linked",
        f"{answer['documents']:,} documents, {answer['mentions']:,} mentions, written to {answer['output']}",
    ]
    if answer["repaired"] or answer["set_aside"]:
        lines.append(f"marked mentions: {answer['repaired']:,} repaired, {answer['set_aside']:,} set aside")
    if others := answer["others"]:
        what = "more files of links lie there, of inputs that the pattern does not match"
        lines.append(f"{len(others):,} {what}: {_first(others)}")
    if folders := answer["folders"]:
        lines.append(f"{len(folders):,} folders match and were not entered (** enters them): {_first(folders)}")
    return "\n".join(lines + [f"not linked: {each['error']}" for each in answer["failed"]])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def registered(answer: Answer) -> str:
    versions = zip(answer["linkers"], answer["lineage"]["model_version"].split(", "), strict=True)
    members = ", ".join(f"{reference} (now version {version})" for reference, version in versions)
    return f"models:/{answer['name']}@champion is version {answer['version']}: {members}"
