"""What every server of the project shares: bodies of bounded size, errors in one sentence, a socket, a clean end."""
