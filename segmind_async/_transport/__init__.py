"""Sending one HTTP request: aiohttp, its sessions, deadlines, address and key."""
