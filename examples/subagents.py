"""Three subagents answer one question side by side, all under one budget. Needs SEGMIND_API_KEY."""

from __future__ import annotations

import asyncio

import anyio

from segmind_async import BudgetExceededError, SegmindClient, system, user

ROLES = ["an optimist", "a pessimist", "an accountant"]


async def subagent(client: SegmindClient, role: str, question: str, notes: dict[str, str]) -> None:
    draft = await client.chat([system(f"You are {role}. Be brief."), user(question)], max_tokens=200)
    final = await client.chat(f"Make this shorter and sharper:\n{draft.text}", max_tokens=100)
    notes[role] = final.text


async def main(question: str = "Shall we open a second shop?", max_credits: float = 0.05) -> None:
    notes: dict[str, str] = {}
    async with SegmindClient() as client, client.budget(max_credits=max_credits) as scoped:
        try:
            async with anyio.create_task_group() as tasks:
                for role in ROLES:
                    tasks.start_soon(subagent, scoped, role, question, notes)
        except* BudgetExceededError as group:
            print(f"the budget is used up: {group.exceptions[0]}")
        for role, text in notes.items():
            print(f"{role}: {text}")
        print(f"{client.statistics().spent} of {max_credits} credits spent")


if __name__ == "__main__":
    asyncio.run(main())
