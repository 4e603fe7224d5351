"""The caller-ID engine for VICIdial."""
