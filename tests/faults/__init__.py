"""Faults made to real programs, judged by ledgers that the gateway knows nothing of (docs/faults.md)."""
