"""How the sandbox refuses a request: one exception, and the bank's problem JSON."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

TITLES: Final = {
    400: "Your request parameters did not validate.",
    401: "You are not authenticated.",
    403: "You do not have permission to do this.",
    404: "There is no such object.",
    405: "There is no such operation.",
    409: "The request conflicts with another.",
    413: "Your request body is too large.",
    422: "We couldn't process your request.",
    429: "Too many requests.",
    500: "Server error. Please try your request again.",
}
"""The title for each status."""


class InvalidParameter(NamedTuple):
    """One parameter that did not validate."""

    parameter: str
    reason: str


class ApiProblem(Exception):  # noqa: N818 - a refusal is a response of the bank, not an error of the sandbox
    """A request is refused.

    Args:
        status: the HTTP status.
        code: the machine-readable code. The bank publishes few of them; the others are the sandbox's own.
        detail: what is wrong, for a person; no name and no account number in it.
        title: the usual one for the status if left out.
        invalid_parameters: the parameters that did not validate.
        instance: the ID of the object that caused it, if one did.
        headers: headers of the response, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        invalid_parameters: Sequence[InvalidParameter] = (),
        instance: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.title = title or TITLES[status]
        self.invalid_parameters = tuple(invalid_parameters)
        self.instance = instance
        self.headers = headers

    def body(self, *, numeric_status: bool = False) -> dict[str, Any]:
        """The JSON of the response.

        Args:
            numeric_status: write the status as a number, as the token endpoint's description has it; it is a
                string elsewhere.
        """
        shown: dict[str, Any] = {
            "type": "about:blank",
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "status": self.status if numeric_status else str(self.status),
        }
        if self.instance is not None:
            shown["instance"] = self.instance
        if self.invalid_parameters:
            shown["invalid_parameters"] = [invalid._asdict() for invalid in self.invalid_parameters]
        return shown


def parameters_invalid(problems: Sequence[InvalidParameter], *, status: int = 400) -> ApiProblem:
    """Parameters did not validate.

    Args:
        problems: which, and why.
        status: 400 for a body, 422 for the lists, whose description has no 400.
    """
    detail = "; ".join(f"{problem.parameter}: {problem.reason}" for problem in problems)
    return ApiProblem(status, "parameters_invalid", detail, title=TITLES[400], invalid_parameters=problems)


def not_found(object_id: str) -> ApiProblem:
    """No object has that ID."""
    return ApiProblem(404, "not_found", "No object has this ID.", instance=object_id)


def not_allowed(object_id: str, detail: str) -> ApiProblem:
    """The object is not in a state that allows the operation."""
    return ApiProblem(422, "operation_not_allowed", detail, instance=object_id)
