"""The bank's problem JSON."""

from leadpay.sandbox.problems import ApiProblem, InvalidParameter, parameters_invalid


def test_a_problem_has_the_banks_fields() -> None:
    """The status is a string, or a number where the caller wants one; what has no value is left out."""
    problem = ApiProblem(404, "not_found", "No object has this ID.", instance="event_1")
    assert problem.body() == {
        "type": "about:blank",
        "code": "not_found",
        "title": "There is no such object.",
        "detail": "No object has this ID.",
        "status": "404",
        "instance": "event_1",
    }
    assert problem.body(numeric_status=True)["status"] == 404


def test_invalid_parameters_are_listed() -> None:
    """Each with its reason, and all of them in the detail."""
    problem = parameters_invalid([InvalidParameter("amount", "is required")], status=422)
    assert problem.body()["invalid_parameters"] == [{"parameter": "amount", "reason": "is required"}]
    assert problem.detail == "amount: is required"
