"""Values of options that are more than a word: parameters, schemas, labels."""
