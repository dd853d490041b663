"""Endpoints: login, refresh, logout, sessions, keys, as operations on plain requests; each framework's mount is a file of its own."""

from stagedoor.endpoints.endpoints import Account, Authenticate, Endpoints
from stagedoor.endpoints.operation import Operation
from stagedoor.endpoints.throttle import Throttle

__all__ = ["Account", "Authenticate", "Endpoints", "Operation", "Throttle"]
