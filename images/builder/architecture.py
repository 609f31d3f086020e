"""The kind of computer the guest images are for, as one place: what its tools and Debian call it.

Knows names. Must not know what is built. labkit's own such value is `labkit/model/architecture.py`.
"""

NAME = "x86_64"  # the kernel's, QEMU's
DEBIAN = "amd64"
TRIPLET = "x86_64-linux-gnu"  # folder of the libraries
LOADER = "ld-linux-x86-64.so.2"
CONSOLE = "ttyS0"  # the serial device that Linux prints to
ASSEMBLE = ("as", "--64")
LINK = ("ld", "-m", "elf_x86_64")
