"""Stores with one planted fault each, and the proof that the contract finds it."""
