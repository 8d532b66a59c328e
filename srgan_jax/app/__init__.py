"""The page in the browser: drop a photo, or an archive of them, and get it back enlarged.

- jobs.py: work in a thread that can be watched and cancelled.
- enlarging.py: one photo file -> its enlargement, what the page shows of it, and figures of its fidelity.
- archives.py: a zip archive of photos -> a zip archive of their enlargements.
- texts.py: what the page says while it works and afterwards.
- page.py: the page itself, in Gradio.
- server.py: the server of the page, which loads nothing from elsewhere.
"""
