"""One module a document: each has `write()`, which returns the document's text."""
