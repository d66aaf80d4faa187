"""Checks what system_instruction.md says about backtesting.py against the pinned version.

Usage: python prompt_claims.py path/to/system_instruction.md
Needs backtesting==0.6.6. Prints one line a claim; the exit code is 1 if one does not hold.
"""

import re
import sys
import warnings

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy, __version__
from backtesting.lib import crossover
from backtesting.test import BTCUSD, EURUSD, GOOG

warnings.filterwarnings("ignore")
failed = []


def claim(text, holds):
    print("ok  " if holds else "FAIL", text)
    if not holds:
        failed.append(text)


def run(next_, init=None, data=GOOG, **attributes):
    """The statistics of a strategy made of these two functions, or the exception."""

    def average(strategy):
        strategy.average = strategy.I(lambda values: pd.Series(values).rolling(20).mean(), strategy.data.Close)

    body = {"init": init or average, "next": next_, **attributes}
    try:
        return Backtest(data, type("Probe", (Strategy,), body), cash=10_000, commission=0.002).run()
    except Exception as error:
        return error


def raises(kind, next_, init=None):
    return isinstance(run(next_, init), kind)


def indicator(function):
    def init(strategy):
        strategy.probe = strategy.I(function, strategy.data.Close)

    return init


def nothing(strategy):
    pass


def at(actions):
    """A `next` that does something when so many bars are known."""

    def next_(strategy):
        action = actions.get(len(strategy.data))
        if action:
            action(strategy)

    return next_


claim("version 0.6.6", __version__ == "0.6.6")

for method in ("diff", "rolling", "shift", "ewm"):
    error = run(nothing, indicator(lambda values, method=method: getattr(values, method)(1)))
    claim(f"arrays have no .{method}()", isinstance(getattr(error, "__cause__", None), AttributeError))
claim("pd.Series(array) has them", len(run(nothing, indicator(lambda v: pd.Series(v).diff().ewm(span=3).mean()))))
claim("an indicator of another length raises", raises(ValueError, nothing, indicator(lambda v: v[1:])))

seen = {}


def hold(strategy):
    strategy.direct = strategy.I(lambda v: pd.Series(v).rolling(20).mean(), strategy.data.Close)
    strategy.upper, strategy.lower = strategy.I(lambda v: (v + 1, v - 1), strategy.data.Close)
    strategy.listed = [strategy.direct]
    strategy.mapped = {"a": strategy.direct}
    strategy.series = pd.Series(strategy.data.Close)


def measure(strategy):
    for name in ("direct", "upper", "lower", "series"):
        seen[name] = len(getattr(strategy, name))
    seen["listed"], seen["mapped"] = len(strategy.listed[0]), len(strategy.mapped["a"])
    seen["close"], seen["last"] = len(strategy.data.Close), strategy.data.Close[-1]
    seen["time"] = strategy.data.index[-1]


run(at({100: measure}), hold)
claim("attributes, tuples of them and data end at the current bar",
      {seen[name] for name in ("direct", "upper", "lower", "close")} == {100})
claim("[-1] is the current bar", seen["last"] == GOOG.Close.iloc[99] and seen["time"] == GOOG.index[99])
claim("lists, dictionaries and plain series show the future",
      {seen[name] for name in ("listed", "mapped", "series")} == {len(GOOG)})

first = []
run(lambda strategy: first.append(len(strategy.data)))
claim("next is first called when the 20-bar average has values", first[0] >= 20)
claim("... and not much later", first[0] <= 22)

for size in (1.5, 0, -1, -0.5, float("nan")):
    claim(f"size={size} raises", raises((AssertionError, ValueError), lambda s, size=size: s.buy(size=size)))
for size in (0.5, 1, 10, 10.0):
    claim(f"size={size} is accepted", len(run(lambda s, size=size: s.position or s.buy(size=size))) > 20)
claim("order arguments are keywords only", raises(TypeError, lambda s: s.buy(0.5)))
for text, order in {
    "buy(sl above the price)": lambda s: s.buy(sl=s.data.Close[-1] * 1.1),
    "buy(tp below the price)": lambda s: s.buy(tp=s.data.Close[-1] * 0.9),
    "sell(sl below the price)": lambda s: s.sell(sl=s.data.Close[-1] * 0.9),
    "sell(tp above the price)": lambda s: s.sell(tp=s.data.Close[-1] * 1.1),
    "buy(sl=NaN)": lambda s: s.buy(sl=float("nan")),
    "buy(limit, sl above the limit)": lambda s: s.buy(limit=s.data.Close[-1] * 0.9, sl=s.data.Close[-1] * 0.95),
}.items():
    claim(f"{text} raises", raises(ValueError, order))
claim("sl at or below 0 raises", raises(AssertionError, lambda s: s.position or s.buy(sl=-1.0)))

log = []


def bought(strategy):
    strategy.buy()
    log.append(bool(strategy.position))


def filled(strategy):
    log.extend([bool(strategy.position), strategy.trades[0].entry_price == strategy.data.Open[-1]])
    log.append(strategy.position.size * strategy.data.Open[-1] > 9_500)


run(at({100: bought, 101: filled}))
claim("a market order fills at the next open with all cash, position changes then", log == [False, True, True, True])

log = []
stats = run(at({
    100: lambda s: s.sell(),
    110: lambda s: log.append(s.position.is_short),
    111: lambda s: (s.position.close(), s.buy(size=0.9)),
    120: lambda s: log.extend([s.position.is_long, len(s.trades)]),
    121: lambda s: s.position.close(),
}))
claim("sell() opens a short without a setting; close() and buy() turn around", log == [True, True, 1])
claim("... as two trades", stats["# Trades"] == 2)


def trailing(strategy):
    if not strategy.position:
        strategy.buy()
    for trade in strategy.trades:
        trade.sl = max(trade.sl or 0, strategy.data.Close[-1] * 0.9)


claim("trade.sl may be assigned as a trailing stop", run(trailing)["# Trades"] > 10)
claim("crossover takes arrays and numbers",
      len(run(lambda s: crossover(s.average, 300) or crossover(300, s.average))) > 20)
a, b = np.array([1.0, 3.0]), np.array([2.0, 2.0])
claim("crossover(a, b): a rises above b", crossover(a, b) and not crossover(b, a))


class Own(Strategy):
    def __init__(self):
        pass

    init = next = nothing


class NoNext(Strategy):
    init = nothing


for kind, text in ((Own, "__init__ breaks a strategy"), (NoNext, "next is needed")):
    try:
        Backtest(GOOG, kind).run()
        claim(text, False)
    except TypeError:
        claim(text, True)

for code in re.findall(r"```python\n(.*?)\n```", open(sys.argv[1], encoding="utf-8").read(), re.S):
    module = {}
    exec(compile(code, "example", "exec"), module)
    (strategy,) = [v for v in module.values() if isinstance(v, type) and issubclass(v, Strategy) and v is not Strategy]
    trades = [
        int(Backtest(data, strategy, cash=cash, commission=0.002, finalize_trades=True).run()["# Trades"])
        for data, cash in ((GOOG, 10_000), (EURUSD, 10_000), (BTCUSD, 10_000_000))
    ]
    claim(f"example {strategy.__name__} runs on three data sets and trades: {trades}", trades[0] > 0 and trades[1] > 0)

sys.exit(1 if failed else 0)
