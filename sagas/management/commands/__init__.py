"""The management commands, one per file. Their shared code is in `sagas.management`."""
