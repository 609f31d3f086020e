"""The image `sector`: an operating system of 512 bytes."""
