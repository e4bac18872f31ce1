"""Texts of answers about several things at once: a corpus in many files, and linkers that are registered as one."""

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
        shown = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
        lines.append(
            f"{len(others):,} more files of links lie there, of inputs that the pattern does not match: {shown}"
        )
    return "\n".join(lines + [f"not linked: {each['error']}" for each in answer["failed"]])


def registered(answer: Answer) -> str:
    versions = zip(answer["linkers"], answer["lineage"]["model_version"].split(", "), strict=True)
    members = ", ".join(f"{reference} (now version {version})" for reference, version in versions)
    return f"models:/{answer['name']}@champion is version {answer['version']}: {members}"
