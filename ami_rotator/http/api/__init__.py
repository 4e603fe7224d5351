"""The JSON API, /api/v1: thin handlers over the administrators' functions, one table of endpoints."""
