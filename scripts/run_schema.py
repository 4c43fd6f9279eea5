"""The `run` part of cars-train's values.schema.json, made from RunConfig: helm refuses what we do."""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from trainer.config import RunConfig, types

SCHEMA = Path(__file__).parents[1] / "helm" / "cars-train" / "values.schema.json"

_EVERY = {
    "type": "string",
    "pattern": r"^\s*([0-9]+\s*(step|epoch)s?|[0-9]+(\.[0-9]+)?\s*[smhd]|continuous)\s*$",
}
_URL = {"$ref": "#/definitions/url"}
_DURATION = {"$ref": "#/definitions/duration"}
_BYTES = {
    "type": ["integer", "string"],
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kMGT]|[KMGT]i|)B?\s*$",
    "minimum": 1,
}
_FORMS: dict[str, dict[str, Any]] = {"Seconds": _DURATION, "Bytes": _BYTES}
_PARSERS = {get_args(getattr(types, name))[1].func: name for name in _FORMS}


class _Written(GenerateJsonSchema):
    """`Seconds` and `Bytes` are numbers to pydantic and also `30s` and `50GiB` to a person."""

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        if name := _PARSERS.get(schema["function"]["function"]):
            return {"form": name}
        return super().function_before_schema(schema)


def run_schema() -> dict[str, Any]:
    """JSON schema of `.Values.run`: RunConfig's, with nothing required that a recipe may bring."""
    whole = RunConfig.model_json_schema(schema_generator=_Written)
    run: dict[str, Any] = _plain(whole, whole.get("$defs", {}))
    properties = run["properties"]
    properties["recipe"] = {
        "type": "string",
        "description": "where the other values come from; auto, also without model.name: chosen by the data",
    }
    properties["data"]["properties"]["url"] = dict(_URL)
    properties["run"]["properties"]["url"] = dict(_URL)
    # The pods' probes and Prometheus need a port, and a user that is not root a high one.
    properties["metrics"]["properties"]["port"] = {"type": "integer", "minimum": 1024, "maximum": 65535}
    for section, keys in {"data": ["url"], "run": ["url", "grace"], "metrics": ["port", "linger"]}.items():
        properties[section]["required"] = keys
    run["required"] = ["data", "run", "metrics"]
    return run


def _plain(schema: Any, defs: dict[str, Any]) -> Any:
    """Without references, titles, defaults and requirements."""
    if isinstance(schema, list):
        return [_plain(item, defs) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "form" in schema:
        return dict(_FORMS[schema["form"]])
    if "$ref" in schema and schema["$ref"].startswith("#/$defs/"):
        name = schema["$ref"].removeprefix("#/$defs/")
        return dict(_EVERY) if name == "Every" else _plain(defs[name], defs)
    found = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _plain(part, defs) for name, part in value.items()}
        elif key == "prefixItems":
            found["items"] = _plain(value, defs)
        elif key not in ("title", "default", "required", "$defs"):
            found[key] = _plain(value, defs)
    return found


def values_schema() -> str:
    """The whole file, with its `run` part made new."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["run"] = run_schema()
    return json.dumps(schema, indent=2) + "\n"
