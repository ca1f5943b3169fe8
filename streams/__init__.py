"""The stream process: follows the private WebSockets of many accounts."""
