"""Files that are made from others: `scripts/generate` writes them, with `--check` it compares them."""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from scripts import chart_page, json_page, networks_page, run_schema, versions
from scripts.bounds import bounds
from trainer.config import RunConfig
from trainer.config.types import Every, Seconds, Section
from trainer.inference.config import PredictConfig

ROOT = Path(__file__).parents[1]

_CONFIGURATION = """# Configuration

Made from the code by `scripts/generate`; do not edit.

A run is one YAML file. Values come from the recipe, then from the file, then from `--set key=value`;
where neither a recipe nor `model.name` is named, the recipe is `auto`, chosen by the data and the machine
([recipe-auto.md](recipe-auto.md));
unknown keys are errors. In the chart cars-train the same keys are below `run:`. Durations are seconds, or
`30s`, `5m`, `2h`, `1d`.
"""

_PREDICTION = """
# Prediction

The options of `trainer predict`, also as a YAML file for `--config`. In the chart cars-predict they are in
camelCase.
"""

_METRICS = """# Metrics

Made from the code by `scripts/generate`; do not edit.

Each pod of a training serves the metrics of all its ranks at `:9090/metrics`, with the label `rank`, and its
own metrics. Each pod of a prediction job serves `trainer_predict_*` there.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def configuration() -> str:
    """docs/configuration.md."""
    sections = "\n".join(_sections("", RunConfig))
    prediction = "\n".join([_table("", PredictConfig), *_sections("", PredictConfig)])
    return f"{_CONFIGURATION}\n{sections}\n{_PREDICTION}\n{prediction}"


def metrics() -> str:
    """docs/metrics.md."""
    from trainer.gang.endpoint import Endpoint
    from trainer.observability import metrics as own
    from trainer.observability import prediction_metrics as prediction

    ranks = [getattr(module, name) for module in (own, prediction) for name in dir(module) if name.isupper()]
    endpoint = Endpoint(0, not_ready=lambda: "", output=lambda _: None)
    endpoint.close()
    rows = []
    for metric in [*ranks, *endpoint.own]:
        (family,) = metric.describe()
        total = "_total" * (family.type == "counter")
        labels = ", ".join(metric._labelnames) or "-"
        rows.append(f"| `{family.name}{total}` | {family.type} | {labels} | {family.documentation} |")
    return _METRICS + "\n".join(sorted(rows)) + "\n"


_TEMPLATES = ROOT / "helm" / "cars-train" / "templates"
HELPERS = [path for path in sorted(_TEMPLATES.glob("_*.tpl")) if path.name != "_train.tpl"]
"""The helpers of both charts. A chart holds all that it needs, so the other one has a copy."""

DASHBOARDS = sorted((ROOT / "helm").glob("*/dashboards/*.json"))
"""Those of the charts, which k8s/monitoring has as well: kustomize reads no file outside of its folder."""

NETWORKS = ROOT / "docs" / "networks.md"
"""The one that needs TensorFlow to be made."""

FILES: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "configuration.md": configuration,
    ROOT / "docs" / "metrics.md": metrics,
    ROOT / "docs" / "json.md": json_page.json_page,
    NETWORKS: networks_page.networks_page,
    run_schema.SCHEMA: run_schema.values_schema,
    **{
        chart_page.CHARTS / chart / "README.md": partial(chart_page.chart_page, chart)
        for chart in versions.CHARTS
    },
    **{ROOT / "helm" / "cars-predict" / "templates" / path.name: path.read_text for path in HELPERS},
    **{ROOT / "k8s" / "monitoring" / path.name: path.read_text for path in DASHBOARDS},
    **{path: partial(versions.stamped, path) for path in versions.PLACES},
}


def outdated() -> list[Path]:
    """The files that are not what the code makes."""
    return [path for path, content in FILES.items() if not path.exists() or path.read_text() != content()]


def _sections(path: str, section: type[Section]) -> Iterator[str]:
    if path:
        yield f"## {path}\n\n{(section.__doc__ or '').strip()}\n\n{_table(path, section)}"
    for name, field in section.model_fields.items():
        inner = _inner(field.annotation)
        if inner:
            yield from _sections(f"{path}.{name}" if path else name, inner)


def _table(path: str, section: type[Section]) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if _inner(field.annotation) is None:
            rows.append(f"| `{name}` | {_type(field)} | {_default(field)} | {field.description} |")
        elif field.description:
            rows.append(f"| `{name}` | see `{path}.{name}` | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _inner(annotation: Any) -> type[Section] | None:
    """The section that a key holds, or a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part))), None)


_PARSE_SECONDS = get_args(Seconds)[1]


def _type(field: FieldInfo) -> str:
    if _PARSE_SECONDS in field.metadata:
        return "duration"
    return ", ".join([_annotation(field.annotation), *bounds(field.metadata)])


def _annotation(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, *metadata = get_args(annotation)
        return "duration" if _PARSE_SECONDS in metadata else _annotation(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(_annotation(part) for part in get_args(annotation) if part is not NoneType)
    if origin is tuple:
        return f"[{', '.join(_annotation(part) for part in get_args(annotation))}]"
    if origin is list:
        return f"list of {_annotation(get_args(annotation)[0])}"
    if origin is dict:
        return "mapping"
    if annotation is Every:
        return "duration, steps, epochs or continuous"
    names = {str: "text", int: "integer", float: "number", bool: "`true`, `false`"}
    return names[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, Every):
        value = f"{value.count:.0f}{'s' if value.unit == 'seconds' else ' ' + value.unit}"
    if value is None:
        return "none"
    return f"`{yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10)).strip()}`"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where a file would change"
    )
    check = parser.parse_args().check
    paths = outdated()
    for path in paths:
        if check:
            print(f"{path.relative_to(ROOT)}: out of date; run scripts/generate", file=sys.stderr)
            continue
        path.write_text(FILES[path]())
        print(f"wrote {path.relative_to(ROOT)}")
    sys.exit(1 if check and paths else 0)


if __name__ == "__main__":
    main()
