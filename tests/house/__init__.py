"""Check the limits for sizes and names in the code, and its use of the glossary. Run `python -m tests.house`."""
