"""One table of concepts: what each word of the world is in four systems, and what happens when it is taken away.

table (the job) asks parts for findings (finding.py): codes (system 2, judged by listener), units and steps (the
generator of systems 1 and 4), attention (system 3).
"""
