"""The `inhabit` command line: one module for each command, each a thin edge over the library."""
