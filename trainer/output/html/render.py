"""Values into a template. Only a template writes HTML; whatever is put into it is escaped."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainer.output.html.page_scripts import page_scripts, script_policy

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> Markup:
    """A piece of a page, which other templates do not escape again."""
    return Markup(_environment().get_template(template).render(values).strip())


def render_page(template: str, **values: object) -> bytes:
    """A whole page in UTF-8; a byte of a file name that is not UTF-8 is written `\\udcff`."""
    return f"{render(template, **values)}\n".encode("utf-8", "backslashreplace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(page_scripts=page_scripts, script_policy=script_policy)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment
