"""The error that ends a run: a sentence for the person at the terminal."""


class Fault(Exception):
    """Something that the run can't go on without; its text says what to do."""


class StartFault(Fault):
    """A server that doesn't start. The run can go on without some."""
