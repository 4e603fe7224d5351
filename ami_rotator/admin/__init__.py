"""What an administrator can do: the functions behind dashboard, API and command line."""
