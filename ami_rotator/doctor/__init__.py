"""What an installer gets wrong, found before a call is dialled."""
