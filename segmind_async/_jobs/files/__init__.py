"""Jobs on files: a file or a folder of rows in, files of results out."""
