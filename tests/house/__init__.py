"""The measures that the code is held to: sizes, names, the glossary. Run `python -m tests.house`."""
