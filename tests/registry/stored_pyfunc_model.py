"""The model that MLflow loads: a bundle behind ``predict``, stored as this file (models from code), never pickled.

    mlflow.pyfunc.load_model("models:/sample@champion").predict([{"text": "He has type 2 diabetes."}])

MLflow copies this file beside the bundle and runs the copy, so it stays small: everything else is the installed
belink's. Weights that the bundle names come from belink's cache and are loaded with the first question.
"""

from typing import Any, cast

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel, Field


class Span(BaseModel):
    """A mention, by code point offsets into the text, end exclusive."""

    start: int = Field(ge=0)
    end: int = Field(gt=0)


class LinkRequest(BaseModel):
    """A text; its mentions are found where none are given."""

    text: str
    mentions: list[Span] | None = None
    min_probability: float | None = Field(default=None, ge=0, le=1)


class Option(BaseModel):
    """A concept that was considered for a mention."""

    id: str
    label: str
    name: str
    probability: float


class LinkedMention(BaseModel):
    """The answer for one mention; ``id`` is null for NIL."""

    text: str
    start: int
    end: int
    id: str | None = None
    label: str | None = None
    ontology: str | None = None
    release: str | None = None
    probability: float
    candidates: list[Option]


class LinkResponse(BaseModel):
    """The links of one text, and what they were made with."""

    links: list[LinkedMention]
    lineage: dict[str, str]


class BundleModel(PythonModel):
    """A loaded bundle."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle that lies beside this model."""
        from pathlib import Path

        from belink import by_reference, settings
        from belink.link import Linker

        here = settings.load()
        self.linker = Linker(by_reference.resolved(here, Path(context.artifacts["bundle"])), here.cache)

    # MLflow calls predict() without a context where it declares none.
    def predict(  # type: ignore[override]
        self, model_input: list[LinkRequest], params: dict[str, Any] | None = None
    ) -> list[LinkResponse]:
        """One answer a request, in order, as plain dictionaries of :class:`LinkResponse`'s fields."""
        return [self._answer(request, str(number)) for number, request in enumerate(model_input)]

    def _answer(self, request: LinkRequest, number: str) -> LinkResponse:
        from belink.records import Document, Mention

        mentions = tuple(
            Mention(text=request.text[span.start : span.end], start=span.start, end=span.end, document=number)
            for span in request.mentions or ()
        )
        document = Document(id=number, text=request.text, mentions=mentions)
        ((_, links),) = self.linker.link_documents([document], min_probability=request.min_probability)
        response = LinkResponse(links=[_linked(link) for link in links], lineage=self.linker.lineage)
        # Consumers (JSON, data frames, Spark) want dictionaries; the type hint gives MLflow the schema.
        return cast(LinkResponse, response.model_dump())


def _linked(link: Any) -> LinkedMention:
    chosen = link.candidate
    return LinkedMention(
        text=link.mention.text,
        start=link.mention.start,
        end=link.mention.end,
        id=chosen.id if chosen else None,
        label=chosen.label if chosen else None,
        ontology=chosen.ontology if chosen else None,
        release=chosen.release if chosen else None,
        probability=link.probability,
        candidates=[
            Option(id=option.id, label=option.label, name=option.name, probability=probability)
            for option, probability in link.options
        ],
    )


set_model(BundleModel())
