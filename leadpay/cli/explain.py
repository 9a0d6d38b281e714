"""``leadpay explain``: what a reason or a status means, and what to do."""

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.options import AsJson
from leadpay.cli.output import print_json, print_line, print_table
from leadpay.explanations import Explanation, every_explanation, explain_all
from leadpay.explanations import explain as explain_one


def explain(code: str | None = None, *, as_json: AsJson = False) -> int:
    """Explain a reason or a status: what it means, who must act, whether to try again (exit code 1 if it is unknown).

    Args:
        code: The value, such as creditor_account_number_invalid. If it is left out, all values are listed.
        as_json: Print one JSON object per line.
    """
    found = every_explanation() if code is None else explain_all(code) or (explain_one(code),)
    if as_json:
        for one in found:
            print_json({**one._asdict(), "who": str(one.who), "try_again": str(one.try_again)})
    elif code is None:
        columns = ("VALUE", "OF", "WHO ACTS", "TRY AGAIN", "MEANING")
        print_table(columns, ((one.code, one.kind, one.who, one.try_again, one.meaning) for one in found))
    else:
        print_line("\n\n".join(map(text, found)))
    return OK if all(one.is_known for one in found) else NEGATIVE


def text(one: Explanation) -> str:
    """Write an explanation as lines of text."""
    lines = {
        "meaning": one.meaning,
        "who must act": one.who,
        "try again": one.try_again,
        "ISO 20022": one.iso_code and f"{one.iso_code} (by leadpay; the bank publishes none)",
        "for the customer": one.for_customer,
    }
    return "\n".join([f"{one.code} ({one.kind})", *(f"  {name:<17} {value}" for name, value in lines.items() if value)])
