"""Text of ``belink status``: a paragraph a linker, in sentences that say what answers, and what is left to do."""

from belink.cli.show import Answer, impact_lines
from belink.linker.abstention import Abstention

_APPROVED, _NOT_WITHDRAWN = "approved", "not_withdrawn"  # gates of `lifecycle.promotion`


def status(answer: Answer) -> str:
    head = f"home      {answer['home']}\nregistry  {answer['tracking_uri']}"
    refused = [_refused(release) for release in answer.get("refused_releases", ())]
    linkers = answer["linkers"]
    if not linkers:
        nothing = "There is no linker yet. belink refresh NAME makes one, belink demo shows all steps on a sample."
        return "\n\n".join([head, nothing, *refused])
    overview = [_overview(linkers)] if len(linkers) > 1 else []
    return "\n\n".join([head, *overview, *("\n  ".join(_paragraph(linker)) for linker in linkers), *refused])


def _overview(linkers: list[Answer]) -> str:
    waiting = [linker["name"] for linker in linkers if _needs_a_person(linker["last_refresh"])]
    rest = f"{', '.join(waiting)}: the last refresh left something to do" if waiting else "none needs you"
    return f"{len(linkers)} linkers; {rest}."


def _needs_a_person(last: Answer) -> bool:
    return last["outcome"] in ("rejected", "failed")


def _paragraph(linker: Answer) -> list[str]:
    """Return the sentences about a linker, its name in the first."""
    name, last = linker["name"], linker["last_refresh"]
    if linker["champion"] is None:
        lines = [f"{name}: nothing answers yet, no version is champion."]
        return [*lines, *_last_refresh(name, last), *_marks(linker)]
    since = f" since {_minute(linker['updated'])}" if linker["updated"] else ""
    lines = [f"{name}: version {linker['champion']} answers{since}.", _made_from(linker)]
    if chosen := Abstention.from_dict(linker.get("abstention")):
        text = str(chosen)
        lines.append(f"{text[0].upper()}{text[1:]}.")
    if linker.get("unmeasured_gates"):
        gates = ", ".join(linker["unmeasured_gates"])
        lines.append(f"Gates not measured, on too few mentions: {gates}.")
    if not last.get("impact"):
        lines += [f"When it came, {line}." for line in impact_lines(linker.get("impact"))]
    return [*lines, _news(linker), *_last_refresh(name, last), *_way_back(linker), *_marks(linker)]


def _made_from(linker: Answer) -> str:
    releases = ", ".join(f"{name} {version}" for name, version in linker["releases"].items()) or "unknown releases"
    parts = dict(linker["built_from"])
    if parts.get("adapter") == "none":
        del parts["adapter"]
        releases += ", without a language model"
    keys = ", ".join(f"{part} {key}" for part, key in parts.items())
    return f"It is made from {releases}{f' ({keys})' if keys else ''}."


def _news(linker: Answer) -> str:
    if not linker["newer"]:
        return f"No newer release lies in this home; belink refresh {linker['name']} asks the publishers."
    versions = ", ".join(f"{ontology} {version}" for ontology, version in linker["newer"].items())
    return f"NEWER releases lie in this home: {versions}; belink refresh {linker['name']} takes them."


def _last_refresh(linker: str, last: Answer) -> list[str]:
    """Return how the last refresh ended and, unless it ended well, why, and the next command."""
    if not last["outcome"]:
        return []
    when = f" ({_minute(last['ended'])})" if last["ended"] else ""
    begin, version, again = f"The last refresh{when}", last["version"], f"belink refresh {linker}"
    texts = [f"There, {line}." for line in impact_lines(last.get("impact"))]
    if last["outcome"] == "unchanged":
        return [f"{begin} found nothing new.", *texts]
    if last["outcome"] == "promoted":
        return [f"{begin} made version {version} the champion.", *texts]
    if last["outcome"] == "failed":
        return [f"{begin} FAILED: {last.get('reason', 'nobody wrote down why')}", f"What to do: {again} tries again."]
    if version is None:
        return [f"{begin} was REFUSED before anything was built: {_reason(last)}"]
    takes = f"belink promote {linker} {version}"
    if last["failed_gates"] == [_APPROVED]:
        waits = f"{begin} made version {version}, which WAITS for a person; all other gates passed."
        return [waits, *_details(last), *texts, f"What to do: {takes} makes it champion."]
    if last["failed_gates"] == [_NOT_WITHDRAWN]:
        return [f"{begin} made version {version} again, which was rolled back.", *texts, f"{takes} takes it again."]
    gates = ", ".join(last["failed_gates"]) or "unknown gates"
    do = f"What to do: {again} judges it again and shows every gate; {takes} takes it all the same."
    return [f"{begin} made version {version}, which was REFUSED by {gates}.", *_details(last), *texts, do]


def _details(last: Answer) -> list[str]:
    """Return each failed gate with its figure; ``[]`` where an older belink has noted its name alone."""
    lines = []
    for gate in last.get("gates", ()):
        detail = f" ({gate['detail']})" if gate["detail"] else ""
        if gate["name"] in (_APPROVED, _NOT_WITHDRAWN):
            lines.append(f"{gate['name']}: {gate['detail']}.")
        elif gate["value"] is None:
            lines.append(f"{gate['name']}: not measured{detail}.")
        else:
            lines.append(f"{gate['name']}: {gate['value']:.4g}, the bound is {gate['bound']:.4g}{detail}.")
    return lines


def _reason(last: Answer) -> str:
    return last.get("reason") or f"its release failed {', '.join(last['failed_gates']) or 'a gate'}."


def _way_back(linker: Answer) -> list[str]:
    name, previous = linker["name"], linker["previous"]
    if previous is None or previous == linker["champion"]:
        return []
    if when := linker.get("previous_withdrawn"):
        return [
            f"Version {previous} was rolled back {_minute(when)}, and no refresh takes it again by itself; "
            f"belink promote {name} {previous} does."
        ]
    return [f"Before it, version {previous} answered; belink rollback {name} goes back to it."]


def _marks(linker: Answer) -> list[str]:
    lines = []
    if linker["restricted"]:
        where = ", stored on a shared server by --share-restricted" if linker["restricted_elsewhere"] else ""
        lines.append(f"Not to be passed on: {', '.join(linker['restricted'])}{where}.")
    if linker.get("page"):
        lines.append(f"In MLflow: {linker['page']}")
    return lines


def _refused(release: Answer) -> str:
    """Return a paragraph about a release that a gate refused, with what to do."""
    ontology, version, current = release["ontology"], release["version"], release["current"]
    gates = f" by {', '.join(release['failed_gates'])}" if release["failed_gates"] else ""
    lines = [f"{ontology}: release {version} was REFUSED {_minute(release['refused'])}{gates}."]
    if current:
        lines.append(f"{current} stays; belink diff {ontology} {current} rejected shows what the refused one changes.")
    lines.append("What to do: correct the file, or repeat the command with --accept to take it.")
    return "\n  ".join(lines)


def _minute(time: str) -> str:
    """Return an ISO 8601 time without seconds; belink writes all of them in UTC."""
    return f"{time[:16].replace('T', ' ')} UTC"
