"""The exchange's WebSockets: private, public and trade."""
