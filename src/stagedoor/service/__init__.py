"""The service: what `stagedoor serve` runs. Its settings, accounts, passwords and pages; `app` and `composition` put them together."""
