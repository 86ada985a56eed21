"""Checks that two servers give the same answers before they are measured."""

from collections.abc import Callable
from dataclasses import dataclass

from .browser import Answer, Browser
from .servers import Server

# The first and the last ones, sold-out ones, some between.
PRODUCTS = [1, 2, 7, 99, 100, 5000, 9999, 10000, *range(101, 10000, 97)]


@dataclass(frozen=True)
class Step:
    """Something that a visitor does, and the status it must get."""

    what: str
    status: int
    take: Callable[[Browser], Answer]
    own_words: bool = False  # the body is each server's own affair


def get(what: str, path: str, status: int = 200, own_words: bool = False) -> Step:
    return Step(what, status, lambda browser: browser.get(path), own_words)


def post(what: str, form: str, status: int, own_words: bool = False, site: str = "same-origin") -> Step:
    return Step(what, status, lambda browser: browser.post("/cart", form, site), own_words)


PAGES = [
    get("the static file", "/1k.txt"),
    *(get(f"product {product}", f"/products/product-{product}") for product in PRODUCTS),
    get("a missing product", "/products/none", 404, own_words=True),
]
VISIT = [
    *PAGES,
    get("the empty cart", "/cart"),
    post("a form from another site", "product=1&qty=1", 403, own_words=True, site="cross-site"),
    post("two pieces", "product=1&qty=2", 303, own_words=True),
    get("the cart with its message", "/cart"),
    get("the cart after its message", "/cart"),
    post("a form without quantity", "product=1", 303, own_words=True),
    get("the cart with one more", "/cart"),
    post("a sold-out product", "product=100&qty=1", 422),
    post("a product that isn't there", "product=10001&qty=1", 422),
    post("quantity 0", "product=1&qty=0", 422, own_words=True),
    get("the cart after refusals", "/cart"),
]


def differences(one: Server, other: Server, steps: list[Step] | None = None) -> list[str]:
    """What differs, each a sentence; empty when all is the same."""
    steps = steps or VISIT
    found: list[str] = []
    for step, answer, expected in zip(steps, visit(one, steps), visit(other, steps), strict=True):
        found += compare(step, (one.contestant.title, answer), (other.contestant.title, expected))
    return found


def visit(server: Server, steps: list[Step]) -> list[Answer]:
    """The answers to all steps, one visitor taking them in order."""
    browser = Browser(server.port)
    return [step.take(browser) for step in steps]


def compare(step: Step, one: tuple[str, Answer], other: tuple[str, Answer]) -> list[str]:
    """Status, place, type and body of two servers' answers to one step."""
    found = [fault for name, answer in (one, other) for fault in wrong(step, name, answer)]
    if step.own_words or found:
        return found
    (name, answer), (second, expected) = one, other
    if media_type(answer) != media_type(expected):
        found.append(f"{step.what}: {name} gives {media_type(answer)}, {second} {media_type(expected)}")
    if answer.body != expected.body:
        found.append(f"{step.what}: bodies differ{first_difference(one, other)}")
    return found


def wrong(step: Step, name: str, answer: Answer) -> list[str]:
    """What is wrong with an answer, whatever the other server says."""
    if answer.status != step.status:
        return [f"{step.what}: {name} answers {answer.status} instead of {step.status}"]
    place = answer.headers.get("location")
    if step.status == 303 and place != "/cart":
        return [f"{step.what}: {name} leads to {place} instead of /cart"]
    return []


def media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "nothing").partition(";")[0].strip()


def first_difference(one: tuple[str, Answer], other: tuple[str, Answer]) -> str:
    """Where two bodies part, with what stands around it."""
    (name, first), (second, expected) = one, other
    pairs = enumerate(zip(first.body, expected.body))
    shorter = min(len(first.body), len(expected.body))
    at = next((at for at, (a, b) in pairs if a != b), shorter)
    around = slice(max(0, at - 30), at + 30)
    return f" from byte {at} on:\n    {name}: {first.body[around]!r}\n    {second}: {expected.body[around]!r}"
