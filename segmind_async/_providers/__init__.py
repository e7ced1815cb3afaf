"""Model providers: request and answer forms, tools, schemas, prices; one file each, listed in `registry`."""
