"""Budgets: their rules, what they have spent, and the clients that hold to them."""
