"""The load generator: open-loop, constant rate, raw asyncio; a process of its own beside the bench."""
