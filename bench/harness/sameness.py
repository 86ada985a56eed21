"""Checks that the contestants give the same answers before they are measured."""

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass

from .browser import Answer, Browser
from .servers import Server

# The first and the last ones, sold-out ones, some between.
PRODUCTS = [1, 2, 7, 99, 100, 5000, 9999, 10000, *range(101, 10000, 97)]
TRIES = 20  # for a text to come compressed
CONDITIONS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


@dataclass(frozen=True)
class Step:
    """Something that a visitor does, and the status it must get."""

    what: str
    status: int
    take: Callable[[Browser, Callable[[str], str]], Answer]  # the second gives the server's own address of a path
    own_words: bool = False  # the body is each server's own affair
    leads_to: str = ""


def get(what: str, path: str, status: int = 200, own_words: bool = False) -> Step:
    return Step(what, status, lambda browser, own: browser.get(own(path)), own_words)


def post(what: str, path: str, form: str, status: int, own_words=False, site="same-origin", leads_to="") -> Step:
    return Step(what, status, lambda browser, own: browser.post(path, form, site), own_words, leads_to)


def condition(answer: Answer) -> tuple[str, str]:
    """The header that asks whether a file is still the one that was given before."""
    for told, asks in CONDITIONS.items():
        if told in answer.headers:
            return asks, answer.headers[told]
    return "If-None-Match", '"none"'


def ask_again(browser: Browser, own: Callable[[str], str]) -> Answer:
    """Asks for a file that the visitor has."""
    path = own("/1k.txt")
    name, value = condition(browser.get(path))
    return browser.get(path, {name: value})


def ask_compressed(browser: Browser, own: Callable[[str], str]) -> Answer:
    """Gives the text unpacked. A server may compress while it answers the first who ask."""
    for _ in range(TRIES):
        answer = browser.get(own("/text.txt"), {"Accept-Encoding": "gzip"})
        if answer.headers.get("content-encoding") == "gzip":
            return Answer(answer.status, answer.headers, gzip.decompress(answer.body))
        time.sleep(0.1)
    return Answer(answer.status, answer.headers, b"not compressed")


PAGES = [
    *(get(f"product {product}", f"/products/product-{product}") for product in PRODUCTS),
    get("a missing product", "/products/none", 404, own_words=True),
]
# What must be the same, by the name that a workload gives it.
STEPS = {
    "1k": [get("the file of 1 KiB", "/1k.txt")],
    "64k": [get("the file of 64 KiB", "/64k.bin")],
    "10m": [get("the file of 10 MiB", "/10m.bin")],
    "unchanged": [Step("a file that the visitor has", 304, ask_again)],
    "compressed": [Step("the compressed text", 200, ask_compressed)],
    "kept": [get("the kept page", "/kept.html")],
    "pages": PAGES,
    "fortunes": [get("the page of fortunes", "/fortunes")],
    "data": [get(f"the data of product {product}", f"/api/products/product-{product}") for product in PRODUCTS],
    "cart": [
        get("the empty cart", "/cart"),
        post("a form from another site", "/cart", "product=1&qty=1", 403, own_words=True, site="cross-site"),
        post("two pieces", "/cart", "product=1&qty=2", 303, own_words=True, leads_to="/cart"),
        get("the cart with its message", "/cart"),
        get("the cart after its message", "/cart"),
        post("a form without quantity", "/cart", "product=1", 303, own_words=True, leads_to="/cart"),
        get("the cart with one more", "/cart"),
        post("a sold-out product", "/cart", "product=100&qty=1", 422),
        post("a product that isn't there", "/cart", "product=10001&qty=1", 422),
        post("quantity 0", "/cart", "product=1&qty=0", 422, own_words=True),
        get("the cart after refusals", "/cart"),
    ],
    "stock": [
        get("the product before", "/products/product-3"),
        post("a new stock", "/stock", "product=3&stock=77", 303, own_words=True, leads_to="/products/product-3"),
        get("the product after", "/products/product-3"),
    ],
}


def visit(server: Server, names: list[str]) -> dict[str, list[Answer]]:
    """The answers to the steps of these names, one visitor taking them in order."""
    browser = server.browser()
    return {name: [step.take(browser, server.contestant.path) for step in STEPS[name]] for name in names}


def differences(answers: dict[str, dict[str, list[Answer]]]) -> list[str]:
    """Holds everybody's answers, by title, against those of the first who gave some to the same steps."""
    found = []
    for name, steps in STEPS.items():
        given = [(title, each[name]) for title, each in answers.items() if name in each]
        for title, own in given:
            for step, answer, expected in zip(steps, own, given[0][1], strict=True):
                found += compare(step, (title, answer), (given[0][0], expected))
    return found


def compare(step: Step, one: tuple[str, Answer], other: tuple[str, Answer]) -> list[str]:
    """Status, place, type and body of an answer against another server's."""
    (name, answer), (second, expected) = one, other
    found = wrong(step, name, answer)
    if step.own_words or found or step.status == 304:
        return found
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
    if step.leads_to and place != step.leads_to:
        return [f"{step.what}: {name} leads to {place} instead of {step.leads_to}"]
    return []


def media_type(answer: Answer) -> str:
    """An answer without a type may be taken for bytes of any kind (RFC 9110, 8.3)."""
    return answer.headers.get("content-type", "application/octet-stream").partition(";")[0].strip()


def first_difference(one: tuple[str, Answer], other: tuple[str, Answer]) -> str:
    """Where two bodies part, with what stands around it."""
    (name, first), (second, expected) = one, other
    pairs = enumerate(zip(first.body, expected.body))
    shorter = min(len(first.body), len(expected.body))
    at = next((at for at, (a, b) in pairs if a != b), shorter)
    around = slice(max(0, at - 30), at + 30)
    return f" from byte {at} on:\n    {name}: {first.body[around]!r}\n    {second}: {expected.body[around]!r}"
