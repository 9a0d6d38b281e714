"""The description that the sandbox serves."""

from jsonschema import Draft202012Validator

from leadpay.sandbox.openapi import description
from leadpay.sandbox.operations import OPERATIONS


def test_every_operation_is_described() -> None:
    """And nothing else is; an operation with a key has the header as a parameter."""
    document = description()
    found = {
        operation["operationId"]: (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert set(found) - {"token"} == {operation.name for operation in OPERATIONS}
    for operation in OPERATIONS:
        path, method, described = found[operation.name]
        assert operation.path.fullmatch(path.replace("{id}", "x"))
        assert method.upper() == operation.method
        headers = [one["name"] for one in described.get("parameters", []) if one["in"] == "header"]
        assert headers == (["Idempotency-Key"] if operation.needs_key or operation.takes_key else [])
        assert ("requestBody" in described) == (operation.has_body or operation.may_have_body)


def test_its_schemas_are_schemas() -> None:
    """JSON Schema accepts each of them."""
    for schema in description()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
