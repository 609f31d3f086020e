"""The image `tiny`: a small Linux with a guest agent."""
