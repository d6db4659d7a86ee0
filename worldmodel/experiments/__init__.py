"""Experiments that anybody can run again with one command."""
