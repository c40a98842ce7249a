"""The operations that the admin offers on one execution: buttons, previews and forms."""
