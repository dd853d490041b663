"""Forged and bent tokens, replayed against verifiers in process and against running services over HTTP."""
