"""The credit ledger and the cost of calls: predicted, held, settled and learnt. Pure."""
