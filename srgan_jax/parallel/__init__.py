"""Run one program on several processes and devices."""
