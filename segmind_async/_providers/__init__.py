"""What differs between model providers: request and answer shapes, tools, schemas, prices."""
