"""The dashboard's pages besides Now: one module a page, each parses, asks and renders."""
