"""Campaigns that measure reliability: the program is killed, lied to and starved, and each try is counted.

python -m tests.reliability runs them all and writes docs/reliability.md. The table of campaigns is in table.py. A
campaign is a generator function. For each try it yields "", or a sentence on what went wrong.
"""
