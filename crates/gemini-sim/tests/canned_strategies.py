"""Runs the simulator's strategies for real: python canned_strategies.py BASE_URL SECRET.

Needs backtesting==0.6.6 and a simulator without limits for the key. Prints one line a strategy; the exit code is 1 if
one does not run on GOOG with at least one trade.
"""

import json
import sys
import urllib.request
import warnings

warnings.simplefilter("ignore")

from backtesting import Backtest, Strategy  # noqa: E402
from backtesting.test import GOOG  # noqa: E402

PROMPTS = [
    "Buy when RSI < 30, sell when RSI > 70",
    "Buy when RSI(10) crosses below 35 and exit above 60",
    "Go long when the 21-day RSI rises above 55, close when it is under 45",
    "RSI strategy. Class name: Dip",
    "10-day SMA crosses above 30-day SMA",
    "Buy when the price is above its 50-day moving average",
    "Fast EMA(12) over slow EMA(26)",
    "Bollinger bands, 20 days, 2 standard deviations",
    "Buy below the lower Bollinger band (15, 1.5 std)",
    "MACD crosses its signal line",
    "MACD(8, 21, 5)",
    "Buy and hold while the stock rises",
    "",
]


def generate(base_url, secret, prompt):
    request = urllib.request.Request(
        f"{base_url}/v1beta/models/gemini-flash-latest:generateContent",
        data=json.dumps({"contents": [{"parts": [{"text": prompt}]}]}).encode(),
        headers={"x-goog-api-key": secret, "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        text = json.load(reply)["candidates"][0]["content"]["parts"][0]["text"]
    return text.split("```python\n")[1].split("```")[0]


def trades(code):
    module = {}
    exec(compile(code, "strategy.py", "exec"), module)
    found = [
        value
        for value in module.values()
        if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
    ]
    assert len(found) == 1, found
    stats = Backtest(GOOG, found[0], commission=0.002, finalize_trades=True).run()
    return found[0].__name__, stats["# Trades"], stats["Return [%]"]


failed = False
for prompt in PROMPTS:
    name, count, gain = trades(generate(sys.argv[1], sys.argv[2], prompt))
    failed |= count < 1
    print(f"{name:18} {count:4} trades {gain:9.1f} %  {prompt}")
sys.exit(failed)
