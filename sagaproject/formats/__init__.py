"""How dates are written here, where that is not how Django writes them in the language."""
