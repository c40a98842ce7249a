"""What the page's templates need beside Django's own."""
