"""How many calls LiteLLM's Router admits in a minute of 60: four processes, one Redis, at once.

    race_litellm.py REDIS_PORT

Prints the row that stands below those of benches/race.rs. Nothing is sent: the replies are LiteLLM's own mocks.
"""

import asyncio
import logging
import multiprocessing
import os
import statistics
import sys
import time

PROCESSES, LIMIT, TASKS, ROUNDS, SECONDS = 4, 60, 4, 3, 12

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no look at the network


async def calls(port: int, begin: float) -> tuple[int, int]:
    """One process: how many calls it was granted, and how many it made."""
    import litellm

    logging.disable(logging.CRITICAL)
    litellm.suppress_debug_info = True
    router = litellm.Router(
        model_list=[
            {
                "model_name": "m",
                "litellm_params": {"model": "openai/m", "api_key": "x", "mock_response": "hi", "rpm": LIMIT},
                "model_info": {"id": f"race-{begin:.0f}"},
            }
        ],
        routing_strategy="usage-based-routing-v2",
        redis_host="127.0.0.1",
        redis_port=port,
        num_retries=0,
        disable_cooldowns=True,
    )
    granted = made = 0

    async def call() -> None:
        nonlocal granted, made
        while time.time() < begin + SECONDS:
            made += 1
            try:
                await router.acompletion(model="m", messages=[{"role": "user", "content": "hi"}])
                granted += 1
            except litellm.RateLimitError:
                await asyncio.sleep(0.005)

    await asyncio.sleep(max(0.0, begin - time.time()))
    await asyncio.gather(*(call() for _ in range(TASKS)))
    return granted, made


def process(port: int, begin: float, told: multiprocessing.Queue) -> None:
    told.put(asyncio.run(calls(port, begin)))


def minute(port: int) -> tuple[int, int]:
    """Its windows are the minutes of the clock, so each round begins with one."""
    begin = (time.time() + 15) // 60 * 60 + 60  # importing it takes a while
    told = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=process, args=(port, begin, told)) for _ in range(PROCESSES)]
    for one in processes:
        one.start()
    results = [told.get(timeout=180) for _ in processes]
    for one in processes:
        one.join()
    return sum(granted for granted, _ in results), sum(made for _, made in results)


def main() -> None:
    multiprocessing.set_start_method("spawn")
    rounds = [minute(int(sys.argv[1])) for _ in range(ROUNDS)]
    granted = [granted for granted, _ in rounds]
    print(
        f"| LiteLLM {version()}, `usage-based-routing-v2`, Redis | {PROCESSES} | {sum(made for _, made in rounds)} "
        f"| {sum(granted)} | - | 0 | {statistics.median(granted):.0f} of {LIMIT} (median of {ROUNDS} minutes, most {max(granted)}) | - | - |"
    )


def version() -> str:
    from importlib.metadata import version as of

    return of("litellm")


if __name__ == "__main__":
    main()
