"""The model that MLflow loads: ``predict`` of a bundle, or of several, as this file (models from code), never pickled.

    mlflow.pyfunc.load_model("models:/sample@champion").predict([{"text": "He has type 2 diabetes."}])

MLflow copies this file beside the bundle and runs the copy for as long as the version is used. So it knows one name of
belink, ``belink.registry.predict.load_bundle``, which stays. Weights that the bundle names come from belink's cache and
are loaded lazily, on the first mention.
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
    type: str = ""
    linker: str = ""
    probability: float
    candidates: list[Option]


class LinkResponse(BaseModel):
    """The links of one text, and what they were made with."""

    links: list[LinkedMention]
    lineage: dict[str, str]


class BundleModel(PythonModel):
    """A loaded bundle, or several."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle that lies beside this model, or the linkers that are listed there."""
        from belink.registry.predict import load_bundle

        self.answer = load_bundle(context.artifacts["bundle"])

    # MLflow calls predict() without a context where it declares none.
    def predict(  # type: ignore[override]
        self, model_input: list[LinkRequest], params: dict[str, Any] | None = None
    ) -> list[LinkResponse]:
        """Return one answer a request, in order, as plain dictionaries of :class:`LinkResponse`'s fields."""
        answers = self.answer([request.model_dump() for request in model_input])
        # Consumers (JSON, data frames, Spark) want dictionaries; the type hint gives MLflow the schema.
        return cast(list[LinkResponse], [LinkResponse.model_validate(answer).model_dump() for answer in answers])


# With models from code, MLflow runs this file and takes the object that was given to `set_model`.
set_model(BundleModel())
