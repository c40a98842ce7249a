"""What the demo project adds to manage.py."""
