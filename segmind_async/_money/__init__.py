"""The credit ledger, and what calls cost: predicted, learned, settled. Pure."""
