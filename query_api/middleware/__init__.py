"""What every request passes before a route: limits, access, the answer cache.

Only HTTP requests come here: the server has ASGI's lifespan and WebSockets off.
"""
