"""Subagents read the modules of a code base side by side, and one merges what they found.

A planner chooses the modules; each gets an agent with its own share of the money and the time. One that
fails hurts no other, notes are shown as they come, and one scope ends the whole tree. Without
SEGMIND_API_KEY all of it is rehearsed on the emulator.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectSendStream

import segmind_async
from segmind_async import SegmindClient, SegmindError, trace
from segmind_async.emulator import Calls, Emulator, FunctionBrain, Question

CODE = Path(segmind_async.__file__).parent


async def plan(client: SegmindClient, folder: Path) -> list[str]:
    def list_modules() -> dict[str, int]:
        """Return all modules with their sizes in bytes."""
        return {path.name: path.stat().st_size for path in sorted(folder.glob("*.py"))}

    agent = client.agent(tools=[list_modules], system="You plan. Answer with names of modules, nothing else.")
    with trace("plan"):
        chosen = await agent.run("Which modules must one read to understand this code?")
    return [name for name in re.findall(r"\w+\.py", chosen.text) if (folder / name).is_file()]


async def read(
    client: SegmindClient, path: Path, share: float, notes: MemoryObjectSendStream[tuple[str, str | None]]
) -> None:
    def read_lines(first: int, last: int) -> str:
        """Return lines of the module.

        Args:
            first: The first line, from 1.
            last: The last one.
        """
        return "\n".join(path.read_text(encoding="utf-8").splitlines()[first - 1 : last])

    with trace(path.stem), notes:
        async with client.budget(max_credits=share, priority="bulk") as scoped:
            agent = scoped.agent(tools=[read_lines], system="You summarise code.", max_turns=6, timeout=300)
            try:
                note = (await agent.run(f"What is {path.name} for? Two sentences.")).text
            except SegmindError as error:
                print(f"{path.name} failed: {error}")
                note = None
        await notes.send((path.name, note))


async def summarise(client: SegmindClient, folder: Path, max_credits: float, seconds: float) -> str:
    found: dict[str, str] = {}
    async with client.budget(max_credits=max_credits) as tree:
        modules = await plan(tree, folder)
        share = 0.8 * max_credits / max(1, len(modules))
        notes, coming = anyio.create_memory_object_stream[tuple[str, str | None]](len(modules))
        # Whatever is under way anywhere in the tree ends with this scope; what has come by then is merged.
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks, coming:
                for name in modules:
                    tasks.start_soon(read, tree, folder / name, share, notes.clone())
                notes.close()
                async for name, note in coming:
                    print(f"{name}: {note}")
                    if note is not None:
                        found[name] = note
        merged = "\n".join(f"{name}: {note}" for name, note in found.items())
        with trace("merge"):
            return (await tree.chat(f"Describe the whole from these notes:\n{merged}")).text


def rehearse(question: Question) -> str | Calls:
    """Answer as a model might, on the emulator."""
    if "list_modules" in question.tools:
        names = re.findall(r"\w+\.py", " ".join(question.results))
        return ", ".join(names) if names else Calls([("list_modules", {})])
    if "read_lines" in question.tools:
        if not question.results:
            return Calls([("read_lines", {"first": 1, "last": 2}), ("read_lines", {"first": 3, "last": 40})])
        return question.results[0].strip('"').partition("\n")[0]
    return f"It has {question.prompt.count('.py: ')} parts."


async def main(folder: Path = CODE, max_credits: float = 2.0, seconds: float = 600) -> None:
    if "SEGMIND_API_KEY" in os.environ:
        async with SegmindClient() as client:
            print(await summarise(client, folder, max_credits, seconds))
        return
    emulator = Emulator(FunctionBrain(rehearse), latency=0.2)
    async with emulator, SegmindClient(emulator.key, emulator.url) as client:
        print(await summarise(client, folder, max_credits, seconds))
        print(f"{client.statistics().spent} credits on the emulator")


if __name__ == "__main__":
    asyncio.run(main())
