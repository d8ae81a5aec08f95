"""What a request costs in instructions and in system calls, counted."""
