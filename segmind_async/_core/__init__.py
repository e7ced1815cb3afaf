"""Pure decisions: no await, no clock, no chance, no IO; `now` and random draws come in as arguments."""
