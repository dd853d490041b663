"""NestJS in real Node processes: its tokens through our Verifier, and ours through its guards."""
