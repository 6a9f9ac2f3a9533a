"""Small facts of the installation, by name."""

from __future__ import annotations

from bot.store.database import Connection


async def read_fact(tx: Connection, name: str) -> str | None:
    """The fact's value, or None."""
    rows = list(await tx.execute_fetchall("SELECT value FROM fact WHERE name = ?", (name,)))
    return str(rows[0]["value"]) if rows else None


async def write_fact(tx: Connection, name: str, value: str) -> None:
    """Remember a fact, replacing what was known."""
    await tx.execute(
        "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


async def facts_with(tx: Connection, prefix: str) -> dict[str, str]:
    """Facts whose name starts with `prefix`, by the rest of the name."""
    rows = await tx.execute_fetchall(
        "SELECT name, value FROM fact WHERE substr(name, 1, ?) = ? ORDER BY name", (len(prefix), prefix)
    )
    return {str(row["name"])[len(prefix) :]: str(row["value"]) for row in rows}
