"""The tools that recipes share: packages in, image files out, a store that keeps them by content.

Knows Debian packages, ELF files, cpio archives, ext4 and qcow2. Must not know what is inside any particular image.
Needs only the Python standard library and the programs named in `tools.PACKAGE_OF`.
"""
