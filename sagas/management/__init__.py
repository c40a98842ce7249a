"""What people do with sagas from a shell."""
