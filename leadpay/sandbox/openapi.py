"""The sandbox's own description of the operations, served at ``/openapi.json``. Pure.

Written anew, and equivalent in schema to what the bank publishes; made from the same lists that validation uses.
"""

from collections.abc import Sequence
from typing import Any

from leadpay.sandbox import constants, controls

Json = dict[str, Any]


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(longest: int | None = None, shortest: int | None = None, pattern: str | None = None) -> Json:
    found = {"type": "string", "minLength": shortest, "maxLength": longest, "pattern": pattern}
    return {name: value for name, value in found.items() if value is not None}


def _choice(values: Sequence[str]) -> Json:
    return {"type": "string", "enum": list(values)}


def _object(required: Sequence[str], **properties: Json) -> Json:
    named = {name.rstrip("_"): value for name, value in properties.items()}
    return {"type": "object", "properties": named} | ({"required": list(required)} if required else {})


_TIME: Json = {"type": "string", "format": "date-time"}
_PAYMENT_ID = _text(pattern=r"^instant_payment_\w+$")
_EVENT_ID = _text(pattern=r"^event_\w+$")
_ACCOUNT_ID = _text(pattern=r"^account_\w+$")
_ACCOUNT_NUMBER_ID = _text(pattern=r"^account_number_\w+$")
_CUSTOMER_ID = _text(64)
_ENTITY_ID = _text(pattern=r"^entity_[^\s]{1,33}$")
_METADATA: Json = {"type": "object", "additionalProperties": _text()}
_AMOUNT: Json = {"type": "integer", "format": "int64", "minimum": 0}
_INFORMATION = _text(140)


def _payment() -> Json:
    return _object(
        [
            *("id", "account_id", "account_number_id", "created_at", "updated_at", "direction", "status", "amount"),
            *("currency_code", "related_objects", "return_requests", "creditor", "creditor_agent", "debtor"),
            *("debtor_agent", "payment_identifiers"),
        ],
        id=_PAYMENT_ID,
        account_id=_ACCOUNT_ID,
        account_number_id=_ACCOUNT_NUMBER_ID,
        direction=_choice(constants.DIRECTIONS),
        status=_choice(constants.STATUSES),
        counterparty_status=_choice(constants.COUNTERPARTY_STATUSES) | {"nullable": True},
        amount=_AMOUNT,
        currency_code=_choice(constants.CURRENCIES),
        description=_text(),
        debtor=_ref("Party"),
        debtor_agent=_ref("Agent"),
        creditor=_ref("Party"),
        creditor_agent=_ref("Agent"),
        payment_identifiers=_object(
            [], end_to_end_id=_text(35), uetr={"type": "string", "format": "uuid"}, transaction_id=_text(35)
        ),
        related_objects=_object(
            [], original_payment_id=_PAYMENT_ID, return_payment_ids={"type": "array", "items": _PAYMENT_ID}
        ),
        return_requests={"type": "array", "items": _ref("ReturnRequest")},
        return_=_object(["reason"], reason=_choice(constants.RETURN_REASONS), details=_text()),
        rejection=_object(
            ["rejected_by", "reason"],
            rejected_by=_choice(constants.REJECTED_BY),
            reason=_choice(tuple(constants.REJECTION_REASONS)),
            details=_text(),
        ),
        created_at=_TIME,
        updated_at=_TIME,
    )


def _return_request() -> Json:
    resolution = _object(
        ["resolved_at", "resolved_by"],
        resolved_at=_TIME,
        resolved_by=_choice(constants.RESOLVED_BY),
        rejection_reason=_choice(constants.REQUEST_REJECTION_REASONS),
        rejection_details=_text(),
    )
    return _object(
        ["created_at", "status", "reason"],
        status=_choice(constants.RETURN_REQUEST_STATUSES),
        reason=_choice(constants.REQUEST_REASONS),
        details=_text(),
        deadline=_TIME,
        resolution=resolution,
        created_at=_TIME,
    )


def _account_number() -> Json:
    return _object(
        [],
        id=_ACCOUNT_NUMBER_ID,
        account_id=_ACCOUNT_ID,
        account_number=_text(),
        routing_number=_text(),
        client_customer_id=_CUSTOMER_ID,
        entity_id=_ENTITY_ID,
        status=_choice(constants.ACCOUNT_NUMBER_STATUSES),
        metadata=_METADATA,
        created_at=_TIME,
        updated_at=_TIME,
        **controls.SCHEMAS,
    )


def _schemas() -> Json:
    return {
        "AccountNumber": _account_number(),
        "Payment": _payment(),
        "ReturnRequest": _return_request(),
        "Party": _object(["name", "account_number"], name=_text(35, 3), account_number=_text(17, 1)),
        "Agent": _object(["routing_number"], routing_number=_text(9, 9, "^[0-9]+$")),
        "Event": _object(
            [], id=_text(), event=_choice(constants.EVENT_TYPES), created_at=_text(), object={"type": "object"}
        ),
        "Availability": _object(
            ["available", "routing_number"], available={"type": "boolean"}, routing_number=_text(9, 9)
        ),
        "Error": _object(
            [],
            type=_text(),
            code=_text(),
            title=_text(),
            detail=_text(),
            # A string everywhere except in the token endpoint's responses.
            status={"oneOf": [_text(), {"type": "integer"}]},
            instance=_text(),
            invalid_parameters={"type": "array", "items": _object([], parameter=_text(), reason=_text())},
        ),
        "Token": _object([], access_token=_text(), token_type=_text(), scope=_text(), expires_in={"type": "integer"}),
    }


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _responses(response: Json | None, statuses: Sequence[int]) -> Json:
    good = {"description": "Done."} | ({} if response is None else {"content": _content(response)})
    errors = {str(status): {"description": "Refused.", "content": _content(_ref("Error"))} for status in statuses}
    return {"200": good, **errors}


_KEY: Json = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": _text(255)}


def _path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _operation(
    name: str,
    summary: str,
    response: Json | None,
    statuses: Sequence[int],
    *,
    body: Json | None = None,
    parameters: Sequence[Json] = (),
) -> Json:
    found: Json = {"operationId": name, "summary": summary, "responses": _responses(response, statuses)}
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = {"required": True, "content": _content(body)}
    return found


def _reason(choices: Sequence[str], **more: Json) -> Json:
    return _object(["reason", *more], reason=_choice(choices), additional_information=_INFORMATION, **more)


def _transfer(account: str, party: str, **more: Json) -> Json:
    fields = {
        account: _ACCOUNT_NUMBER_ID,
        "amount": _AMOUNT,
        "currency_code": _choice(constants.CURRENCIES),
        party: _ref("Party"),
        f"{party}_agent": _ref("Agent"),
    }
    return _object(list(fields), **fields, description=_text(140), **more)


def _listing(item: Json) -> Json:
    return _object(["objects", "has_more"], objects={"type": "array", "items": item}, has_more={"type": "boolean"})


def _list_parameters(cursor: Json) -> list[Json]:
    time_range = _object([], after=_TIME, on_or_after=_TIME, before=_TIME, on_or_before=_TIME)
    return [
        _query("created_at", time_range) | {"style": "deepObject", "explode": True},
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}),
        _query("starting_after", cursor),
        _query("ending_before", cursor),
    ]


def _payment_paths() -> Json:
    payment, one = _ref("Payment"), _path("id", _PAYMENT_ID)
    filters = [
        _query("account_id", _ACCOUNT_ID),
        _query("account_number_id", _ACCOUNT_NUMBER_ID),
        _query("direction", _choice(constants.DIRECTIONS)),
        _query("status", _choice(constants.STATUSES)),
        _query("counterparty_status", _choice(constants.COUNTERPARTY_STATUSES) | {"nullable": True}),
        _query("return_request_status", _choice(constants.RETURN_REQUEST_STATUSES)),
        *_list_parameters(_PAYMENT_ID),
    ]
    availability = _object(["routing_number"], routing_number=_text(9, 9, "^[0-9]+$"))
    sent, requested = _reason(constants.SENDABLE_RETURN_REASONS), _reason(constants.SENDABLE_REQUEST_REASONS)
    rejected = _reason(constants.SENDABLE_REQUEST_REJECTION_REASONS)
    order = _transfer("account_number_id", "creditor")
    statuses, keyed = (400, 401, 403, 404, 409, 422, 500), [_KEY, one]
    return {
        "": {
            "post": _operation("send", "Send a payment", payment, statuses, body=order, parameters=[_KEY]),
            "get": _operation("list", "List payments", _listing(payment), (401, 403, 422, 500), parameters=filters),
        },
        "/check_availability": {
            "post": _operation(
                "check_availability",
                "Check whether a bank can receive instant payments",
                _ref("Availability"),
                statuses,
                body=availability,
            )
        },
        "/{id}": {"get": _operation("retrieve", "Retrieve a payment", payment, (401, 403, 404, 500), parameters=[one])},
        "/{id}/cancel": {"post": _operation("cancel", "Cancel a payment", payment, statuses, parameters=[one])},
        "/{id}/return": {
            "post": _operation("return", "Return a payment", payment, statuses, body=sent, parameters=keyed)
        },
        "/{id}/request_return": {
            "post": _operation(
                "request_return", "Request its return", payment, statuses, body=requested, parameters=keyed
            )
        },
        "/{id}/reject_return_request": {
            "post": _operation(
                "reject_return_request", "Reject its return request", payment, statuses, body=rejected, parameters=[one]
            )
        },
    }


def _simulation_paths() -> Json:
    one, statuses = _path("id", _PAYMENT_ID), (400, 401, 403, 404, 409, 422)
    identifiers = _object([], end_to_end_id=_text(35))
    bodies: dict[str, tuple[Json | None, list[Json]]] = {
        "/incoming": (_transfer("creditor_account_number_id", "debtor", payment_identifiers=identifiers), [_KEY]),
        "/{id}/incoming_return": (_reason(constants.SENDABLE_RETURN_REASONS, amount=_AMOUNT), [_KEY, one]),
        "/{id}/incoming_return_request": (_reason(constants.SENDABLE_REQUEST_REASONS), [_KEY, one]),
        "/{id}/incoming_return_request_rejection": (_reason(constants.REQUEST_REJECTION_REASONS), [one]),
        "/{id}/incoming_return_request_acceptance": (None, [one]),
    }
    return {
        path: {
            "post": _operation(
                f"simulate_{path.rpartition('/')[2]}", "Simulate it", None, statuses, body=body, parameters=parameters
            )
        }
        for path, (body, parameters) in bodies.items()
    }


def _account_number_paths() -> Json:
    number, one = _ref("AccountNumber"), _path("id", _ACCOUNT_NUMBER_ID)
    changes = {**controls.SCHEMAS, "metadata": _METADATA}
    order = _object(
        ["account_id"], account_id=_ACCOUNT_ID, client_customer_id=_CUSTOMER_ID, entity_id=_ENTITY_ID, **changes
    )
    statuses = (400, 401, 403, 404, 409, 422)
    listed = [
        _query("account_id", _ACCOUNT_ID),
        _query("account_number", _text()),
        *_list_parameters(_ACCOUNT_NUMBER_ID)[1:],
    ]
    key = _KEY | {"required": False}

    def operation(name: str, response: Json, **more: Any) -> Json:
        return _operation(name, name.replace("_", " "), response, statuses, **more)

    return {
        "": {
            "post": operation("create_account_number", number, body=order, parameters=[key]),
            "get": operation("list_account_numbers", _listing(number), parameters=listed),
        },
        "/{id}": {
            "get": operation("retrieve_account_number", number, parameters=[one]),
            "patch": operation("update_account_number", number, body=_object([], **changes), parameters=[one]),
        },
        **{
            f"/{{id}}/{verb}": {
                "post": operation(f"{verb}_account_number", number, parameters=[one])
                | {"requestBody": {"required": False, "content": _content(_object([], metadata=_METADATA))}}
            }
            for verb in ("activate", "deactivate", "cancel")
        },
    }


def description() -> Json:
    """The description of the token endpoint and of every operation, in OpenAPI 3.0."""
    event = _ref("Event")
    token = _object(
        ["grant_type", "client_id", "client_secret"],
        grant_type=_choice(("client_credentials",)),
        client_id=_text(),
        client_secret=_text(),
        scope=_text(),
    )
    types = _query("events", {"type": "array", "items": _choice(constants.EVENT_TYPES)})
    object_id = _text(pattern=r"^(ach|wire|account_number|internal_transfer|disbursement|instant_payment)_\w+$")
    listed = [types, _query("object_id", object_id), *_list_parameters(_EVENT_ID)]
    issue = _operation("token", "Get an access token", _ref("Token"), (400,), body=token)
    return {
        "openapi": "3.0.3",
        "info": {"title": "leadpay's sandbox", "version": "1", "description": "A simulated bank for tests."},
        "security": [{"bearer": []}],
        "paths": {
            "/v1/oauth/token": {"post": issue | {"security": []}},
            "/v1/event": {
                "get": _operation("list_events", "List events", _listing(event), (401, 403, 422), parameters=listed)
            },
            "/v1/event/{id}": {
                "get": _operation(
                    "retrieve_event", "Retrieve an event", event, (401, 403, 404), parameters=[_path("id", _EVENT_ID)]
                )
            },
            **{f"/v1/instant_payments{path}": value for path, value in _payment_paths().items()},
            **{f"/v1/account_number{path}": value for path, value in _account_number_paths().items()},
            **{f"/v1/simulate/instant_payments{path}": value for path, value in _simulation_paths().items()},
        },
        "components": {"schemas": _schemas(), "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }
