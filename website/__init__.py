"""The site: the repository's pages, a page for each network and each code of a message, and a gallery.

`make site` builds it into build/site, from which it can be read as files or served by any server of files.
"""
