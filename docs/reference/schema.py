"""The JSON Schema of rules files: schema.json, with the parser's fields where it says "$fields"."""
import json
import os
import re

from fields import HERE, NO_MAX, number


def plain(text):
    """The meaning without Markdown."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("*and*", "and")


def literal(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def whole(value):
    return int(value) if value == int(value) else value


def shape(field):
    if field.schema_name:
        return {"$ref": "#/$defs/" + field.schema_name}
    if field.words:
        numbers = sorted({code for _, code in field.words}) if field.numbered() else []
        return {"enum": numbers + [word for word, _ in field.words]}
    if field.type == "boolean":
        return {"type": "boolean"}
    if field.type == "text":
        return {"type": "string", **({"minLength": int(field.min)} if field.min else {}), "maxLength": int(field.max), "pattern": "^[^\\u0000-\\u001f\\u007f]*$".encode().decode("unicode_escape")}
    kind = "integer" if field.type == "integer" else "number"
    return {"type": kind, "minimum": whole(field.min), "maximum": NO_MAX if field.max >= NO_MAX else whole(field.max)}


def or_null(schema):
    if "enum" in schema:
        return {"enum": schema["enum"] + [None]}
    if isinstance(schema.get("type"), str):
        return dict(schema, type=[schema["type"], "null"])
    return {"oneOf": [schema, {"type": "null"}]}


def property_of(field):
    schema = or_null(shape(field)) if field.nullable and field.schema_name != "id" else shape(field)
    text, known = field.default()
    schema["description"] = plain(field.text)
    if known:
        schema["default"] = literal(text)
    return schema


def fields_of(reference, table, kind):
    fields = list(reference.tables[table])
    if table in reference.kinds:
        own = {field.name for field in fields}
        fields += [field for field in reference.tables["common"] if field.name in reference.kinds[table] and field.name not in own]
    return [field for field in fields if not (field.later and not field.schema_name) and (kind is None or kind in reference.kinds_of(field.name))]


def fill(reference, node):
    """Puts fields where they belong, and what is required of them beside."""
    if isinstance(node, list):
        return [fill(reference, part) for part in node]
    if not isinstance(node, dict):
        return node
    node = {key: fill(reference, value) for key, value in node.items() if key != "properties"} | ({"properties": node["properties"]} if "properties" in node else {})
    properties = node.get("properties", {})
    if "$fields" not in properties:
        if properties:
            node["properties"] = {key: fill(reference, value) for key, value in properties.items()}
        return node
    table, kind = properties.pop("$fields"), properties.pop("$kind", None)
    fields = fields_of(reference, table, kind)
    node["properties"] = {field.name: property_of(field) for field in fields}
    for name, more in properties.items():
        node["properties"][name] = {"description": node["properties"][name]["description"]} | more
    if kind:
        node["properties"]["kind"] = {"const": kind}
    required = [field.name for field in fields if field.required] + [name for name, kinds in reference.route_fields.items() if kind and kinds.get(kind)]
    required += [name for name in node.get("required", []) if name not in required]
    if required:
        node["required"] = required
    return node


def schema(reference):
    with open(os.path.join(HERE, "schema.json"), encoding="utf-8") as file:
        text = json.dumps(fill(reference, json.load(file)), indent=2, ensure_ascii=False).replace("\x7f", "\\u007f") + "\n"
    return re.sub(r"([\[{])\n *([^\[\]{}]{0,150}?)\n *([\]}])", lambda found: found[1] + re.sub(r"\n *", " ", found[2]) + found[3], text)
