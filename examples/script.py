"""A script without `async`: one question, then many. Needs SEGMIND_API_KEY."""

from __future__ import annotations

from segmind_async.sync import SegmindClient


def main() -> None:
    with SegmindClient() as client:
        print(client.chat("Tell me a joke about dogs.", max_tokens=200).text)
        for outcome in client.fan_out((f"What is {n} + {n}?" for n in range(100)), floor=1):
            print(outcome.index, outcome.status, outcome.text)
        print(f"{client.balance().total} credits left")


if __name__ == "__main__":
    main()
