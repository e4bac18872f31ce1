"""The report shows every figure, needs no other file, and escapes what it shows."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import pytest

from belink.evaluation.metrics import Evaluation, evaluate, paired_bootstrap
from belink.evaluation.plots import DARK, LIGHT, plots
from belink.evaluation.predictions import Option, Prediction
from belink.evaluation.report import render_html, write_page
from belink.records import GateResult

HOSTILE = "<img src=x onerror=alert(1)>\"'&`| $x$ \u202e"


def predictions(n: int = 60) -> list[Prediction]:
    return [
        Prediction(
            document=f"d{at // 2}",
            start=at,
            end=at + 3,
            text=HOSTILE if at % 7 == 0 else "fever",
            gold=("A:1",) if at % 10 else (),
            predicted=None if at % 10 == 0 else "A:1" if at % 3 else "B:<2>",
            probability=0.4 + 0.01 * at,
            candidates=(Option(id="A:1", score=1.0, probability=0.3), Option(id="B:<2>", score=0.9)),
            strata=("exact match",) if at % 2 else ("no exact match", HOSTILE),
        )
        for at in range(n)
    ]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(predictions(), seconds=3.0, resamples=50)


GATES = [
    GateResult(name="accuracy_at_1", value=0.7031, bound=0.65, passed=True, detail="60 mentions"),
    GateResult(name="ece", value=None, bound=0.1, passed=False, detail=HOSTILE),
]


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def page(evaluation: Evaluation) -> str:
    comparison = paired_bootstrap(evaluation.predictions, evaluation.predictions, resamples=20)
    return render_html(
        evaluation, title=f"disease {HOSTILE}", gates=GATES, comparison=comparison, facts={"corpus": HOSTILE}
    )


def test_tags_are_closed_and_nothing_is_fetched_or_run(page: str) -> None:
    tags = Tags(page)
    assert tags.open == []
    names = {tag for tag, _ in tags.attributes}
    assert not names & {"script", "link", "iframe", "object", "form"}
    for tag, attributes in tags.attributes:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "srcset", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "default-src 'none'" in page


def test_values_are_escaped(page: str) -> None:
    assert "<img src=x" not in page
    tags = Tags(page)
    # title, heading, fact, gate, stratum, mention
    assert tags.words.count(HOSTILE) >= 6
    assert "B:<2>" in tags.words


def test_metrics_gates_and_strata_are_shown(page: str, evaluation: Evaluation) -> None:
    words = Tags(page).words
    assert evaluation.metrics["accuracy_at_1"].value == pytest.approx(42 / 60)
    for text in (
        "70.0 %",
        "retrieval recall@20",
        "20.0",
        "0.7031",
        "pass",
        "FAIL",
        "not measured",
        "no exact match",
    ):
        assert text in words
    assert "p = 1.000" in words
    assert "Each distinct pair of lower-cased text and gold ids once" in words
    assert "Most confident errors" in words and "not strictly right" in words


def test_plots_are_drawn_for_light_and_dark_pages(page: str) -> None:
    tags = Tags(page)
    pictures = [a["src"] for tag, a in tags.attributes if tag == "img"]
    dark = [a["srcset"] for tag, a in tags.attributes if tag == "source"]
    assert len(pictures) == len(dark) == 3
    for data in (*pictures, *dark):
        assert base64.b64decode(str(data).partition(",")[2]).startswith(b"\x89PNG")
    assert not set(pictures) & set(dark)
    assert all(a.get("alt") for tag, a in tags.attributes if tag == "img")


def test_a_stratum_with_dollar_signs_does_not_break_the_plot(evaluation: Evaluation) -> None:
    """Dollar signs in a stratum's name are not mathematics."""
    found = plots(evaluation, DARK)
    assert set(found) == {"reliability", "strata", "coverage"}
    odd = evaluate([Prediction(**{**vars_of(p), "strata": ("$\\frac{$",)}) for p in predictions(12)], resamples=10)
    assert plots(odd, LIGHT)["strata"].startswith(b"\x89PNG")


def vars_of(prediction: Prediction) -> dict[str, object]:
    return {name: getattr(prediction, name) for name in prediction.__slots__}


def test_a_linker_that_answers_nothing_has_a_report() -> None:
    nothing = [
        Prediction(document="", start=0, end=1, text="x", gold=("A:1",), predicted=None, probability=1.0),
    ]
    evaluation = evaluate(nothing, resamples=10)
    assert set(plots(evaluation)) == {"reliability"}
    Tags(render_html(evaluation, title="nothing"))


def test_a_report_without_wrong_answers_has_no_table_of_errors() -> None:
    one = [Prediction(document="", start=0, end=1, text="x", gold=("A:1",), predicted="A:1", probability=1.0)]
    assert "Most confident errors" not in render_html(evaluate(one, resamples=10), title="one")


@pytest.mark.heavy
def test_the_same_evaluation_gives_the_same_page(evaluation: Evaluation) -> None:
    assert render_html(evaluation, title="x") == render_html(evaluation, title="x")


def test_a_report_is_written_atomically(tmp_path: Path, page: str) -> None:
    write_page(tmp_path / "deep" / "report.html", page + "\udcff")
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(list((tmp_path / "deep").iterdir())) == 1
