"""Photos: pictures as people keep them, with colours, transparency and metadata, in files, folders and videos.

- photo.py: the Photo, which arrays and Pillow images become, and which becomes them again.
- codecs.py: a photo from a file, and into one.
- enlarging.py: the order of work by which an Upscaler enlarges photos, wherever they come from.
- batch.py: files and folders of photos -> files and folders.
- video.py: the frames of a video.
"""
