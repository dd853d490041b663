"""Endpoints: the operations through each mount, on each store."""
