"""Who is measured: a module for each server, with a row for each way of running it."""

from . import axum, caddy, django, fastify, h2o, lighttpd, nginx, php, sqlpage, tableside
from .base import Contestant, Place

FAMILIES = (tableside, nginx, caddy, axum, php, django, fastify, sqlpage, lighttpd, h2o)
ROWS: dict[str, Contestant] = {row.key: row for family in FAMILIES for row in family.ROWS}

__all__ = ["ROWS", "Contestant", "Place"]
