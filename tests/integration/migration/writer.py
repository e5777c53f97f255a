"""An application that writes to SQLite at a steady rate, and logs each write that was taken: writer.py DB LOG RATE."""

from __future__ import annotations

import random
import sqlite3
import sys
import time


def main() -> None:
    path, log, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
    db = sqlite3.connect(path, timeout=5, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    dice = random.Random(7)
    number, began = 0, time.monotonic()
    with open(log, "w", buffering=1) as taken:
        while True:
            number += 1
            wait = began + number / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            kind = dice.choice(("insert", "insert", "update", "delete"))
            asked = time.monotonic()
            try:
                if kind == "insert":
                    key = 1_000_000 + number
                    db.execute("INSERT INTO events VALUES (?, 1, ?, ?)", (key, f"live{number}", number))
                elif kind == "update":
                    key = dice.randrange(6000) * 2 + 1
                    if not db.execute("UPDATE events SET n = ? WHERE id = ?", (number, key)).rowcount:
                        continue
                else:
                    key = dice.randrange(6000) * 2 + 1
                    if not db.execute("DELETE FROM events WHERE id = ?", (key,)).rowcount:
                        continue
            except sqlite3.Error as problem:
                taken.write(f"refused {number} {asked} {problem}\n")
                return
            taken.write(f"{kind} {key} {number} {asked} {time.monotonic()}\n")


if __name__ == "__main__":
    main()
