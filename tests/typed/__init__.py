"""Commands that plans show, typed by hand."""
