"""Sending over connections of aiohttp's connector, without aiohttp's session, requests and responses."""
