"""Fill templates: files ``*.html.j2`` and ``*.md.j2`` in the folder ``templates`` of a package.

Values are escaped for the format of the file, so that a concept's name cannot bring a tag or a mark of its own.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from belink import markdown

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, **values: object) -> str:
    """Return the text of ``template`` filled with ``values``; a value that the template lacks is an error.

    :param package: the package whose folder ``templates`` has the file, such as "belink.evaluation".
    :param template: the file's name without its suffix .j2, such as "report.html".
    """
    return _environment(package, template.endswith(".html")).get_template(f"{template}.j2").render(**values)


@lru_cache
def _environment(package: str, is_html: bool) -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=is_html,  # noqa: S701  Markdown is escaped by finalize
        finalize=None if is_html else markdown.escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
