"""What Stagedoor costs, beside the others, on the same work, on one machine, in one run: python -m bench."""
