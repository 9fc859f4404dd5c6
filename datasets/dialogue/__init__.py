"""Dialogues that draw: images turn by turn, instructions, and which objects are where after each turn."""
