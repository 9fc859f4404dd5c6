"""ABX phone discrimination."""
