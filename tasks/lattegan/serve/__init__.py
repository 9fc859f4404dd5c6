"""A server on which scenes are drawn turn by turn: server.py starts it, api.py has its addresses."""
