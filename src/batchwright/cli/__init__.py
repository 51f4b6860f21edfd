"""The `batchwright` command line: parses options, calls use cases and prints views."""
