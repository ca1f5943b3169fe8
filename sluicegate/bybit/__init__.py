"""Adapter to Bybit V5 over pybit."""
