"""The one error that ends a run: a sentence for the person at the terminal."""


class Fault(Exception):
    """Something that the run can't go on without; its text says what to do."""
