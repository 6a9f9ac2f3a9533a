"""A loopback Discord: REST and gateway on 127.0.0.1, for tests of the real HTTP client and websocket."""
