"""Signing with keys that stay in a PKCS#11 token."""
