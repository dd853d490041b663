"""The fault suite, R1 to R10: what refresh must survive, on every store. `make faults` runs it whole, `make test` in its short form.

Never knows a store's inside: it goes through the words of Store and Issuer, or through HTTP.
"""
