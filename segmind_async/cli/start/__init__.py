"""What a command says, asks and puts aside before a job spends, and the forecasts of its costs."""
