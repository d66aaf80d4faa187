"""Runs one strategy and reports what it shows, as one line of JSON.

Usage: python runner.py FOLDER JOB

FOLDER holds JOB.json (sample or null, cash, commission, full, seal or null), strategy.py and, without a sample, prices.csv. The
report goes to what standard output was at the start, after a line that says that all but the strategy has been loaded;
what the strategy prints goes nowhere. It has "stage" and
"reason" if something is wrong, else "result". This file is trusted; strategy.py is not.
"""

import hashlib
import json
import math
import os
import signal
import sys
import time
import traceback
import types

FOLDER, JOB = sys.argv[1:]
NAME = "strategy.py"

# Only what belongs to the interpreter may be imported.
sys.path[:] = [entry for entry in sys.path if entry.startswith((sys.prefix, sys.base_prefix))]

# The report has a descriptor of its own, and nothing else that was open stays so.
REPORT = os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
os.closerange(3, REPORT)
os.closerange(REPORT + 1, 4096)

began = time.perf_counter()
took = {}


def lap(stage):
    """Time since the last call belongs to this stage."""
    global began
    now = time.perf_counter()
    took[stage] = took.get(stage, 0.0) + now - began
    began = now


def report(**fields):
    fields["took"] = took
    line = memoryview((json.dumps(fields, allow_nan=False) + "\n").encode())
    while line:
        line = line[os.write(REPORT, line):]
    # No clean-up: what the strategy has left behind is not to be run.
    os._exit(0)


def fail(stage, reason, message, **more):
    lap(stage)
    report(stage=stage, reason=reason, message=message[:2000], **more)


signal.signal(signal.SIGXCPU, lambda *_: fail("backtest", "time-limit", "it used up its processor time"))


def one_line(error):
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def chain(error):
    """An exception and those that caused it, the first cause first."""
    errors = []
    while error is not None and error not in errors:
        errors.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return errors[::-1]


def starts_a_process(error):
    if isinstance(error, OSError):
        # A fork fails with the first; a pool of processes fails before, for want of a semaphore.
        frames = traceback.extract_tb(error.__traceback__)
        return isinstance(error, BlockingIOError) or any("multiprocessing" in frame.filename for frame in frames)
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def reason_of(errors):
    for error in errors:
        if isinstance(error, MemoryError):
            return "memory-limit"
        if starts_a_process(error):
            return "process-limit"
    return "exited" if isinstance(errors[-1], (SystemExit, KeyboardInterrupt)) else "exception"


def story(errors):
    """The traceback as far as it is about the strategy: its own frames, and the message of each error."""
    lines = []
    for error in errors:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == NAME][-8:]
        lines += traceback.StackSummary.from_list(own).format()
        lines.append(one_line(error)[:1000] + "\n")
    return "".join(lines)[:6000]


def fail_with(error):
    errors = chain(error)
    # The library wraps what an indicator raises; the cause says more.
    message = " <- ".join(one_line(error) for error in reversed(errors))
    fail("backtest", reason_of(errors), message, traceback=story(errors))


import linecache
import warnings

warnings.filterwarnings("ignore")

# Plotting is not needed, and its library takes longer to import than all the rest.
plotting = types.ModuleType("backtesting._plotting")
plotting.plot = plotting.plot_heatmaps = plotting.set_bokeh_output = lambda *_, **__: None
sys.modules["backtesting._plotting"] = plotting

import ctypes

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
import backtesting.backtesting
from backtesting.lib import TrailingStrategy

# No progress bar.
backtesting.backtesting._tqdm = lambda iterable, **_: iterable


with open(os.path.join(FOLDER, JOB + ".json"), encoding="utf-8") as file:
    job = json.load(file)
with open(os.path.join(FOLDER, NAME), encoding="utf-8") as file:
    code = file.read()


def load_prices():
    if job["sample"]:
        import backtesting.test
        frame = getattr(backtesting.test, job["sample"])
    else:
        frame = pd.read_csv(os.path.join(FOLDER, "prices.csv"), index_col=0)
        frame.index = pd.to_datetime(frame.index)
    return frame.astype(float)


PRICES = load_prices()


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def seal(instructions):
    """Puts a filter on this process that it cannot take off again: it executes no other program from here on."""
    system = ctypes.CDLL(None, use_errno=True)
    # Eight bytes are an instruction.
    one = Filter(len(instructions) // 8, instructions)
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    if system.prctl(22, ctypes.c_ulong(2), ctypes.byref(one), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


if job["seal"]:
    seal(bytes.fromhex(job["seal"]))

# From here on, what goes wrong is the strategy's doing.
os.write(REPORT, b"loaded\n")
loaded = time.perf_counter()
loading, began = loaded - began, loaded

try:
    compiled = compile(code, NAME, "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    line = getattr(error, "lineno", None) or 0
    fail("compile", "syntax", one_line(error), line=line, column=getattr(error, "offset", None) or 0)
lap("compile")
# Loading is part of the backtest.
began -= loading
linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)


def load_strategy():
    module = types.ModuleType("strategy")
    module.__file__ = NAME
    sys.modules["strategy"] = module
    exec(compiled, module.__dict__)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == "strategy"
    ]
    if len(found) != 1:
        fail("backtest", "no-strategy", f"the module defines {len(found)} strategies when it is run")
    if found[0].__abstractmethods__:
        # What `Run` derives from it has a next of its own.
        found[0](None, None, {})
    return found[0]


class Enough(BaseException):
    """Ends a run that has seen all that is wanted."""


class Run:
    """One run: what was decided on each bar, and the indicators."""

    def __init__(self, strategy, prices, until=None):
        decided, indicators = [], []

        class Logged(strategy):
            def next(self):
                if not indicators:
                    indicators.extend(np.array(indicator, copy=True) for indicator in self._indicators)
                super().next()
                bar = len(self.data) - 1
                orders = tuple((order.size, order.limit, order.stop, order.sl, order.tp) for order in self.orders)
                trades = tuple((trade.size, trade.sl, trade.tp) for trade in self.trades)
                decided.append((bar, orders, trades))
                if until is not None and bar >= until:
                    raise Enough

        Logged.__name__, Logged.__qualname__ = strategy.__name__, strategy.__qualname__
        backtest = Backtest(prices, Logged, cash=job["cash"], commission=job["commission"], finalize_trades=True)
        self.statistics = None
        try:
            self.statistics = backtest.run()
        except Enough:
            pass
        self.decided, self.indicators = decided, indicators

    def fingerprint(self):
        """The same for the same trades, equity and decisions, to the last bit."""
        trades = self.statistics["_trades"]
        columns = ["Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "PnL"]
        digest = hashlib.sha256()
        digest.update(trades[columns].to_numpy(dtype=float).tobytes())
        digest.update(self.statistics["_equity_curve"]["Equity"].to_numpy(dtype=float).tobytes())
        digest.update(repr(self.decided).encode())
        return digest.hexdigest()


def plain(value):
    """A value as JSON can hold it: times as text, lengths of time in days, what is no number as null."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (pd.Timedelta, np.timedelta64)):
        value = pd.Timedelta(value)
        return None if pd.isna(value) else value / pd.Timedelta(days=1)
    if isinstance(value, pd.Timestamp):
        return None if pd.isna(value) else value.isoformat()
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return str(value)[:200]


def statistics_of(run):
    facts = {}
    for name, value in run.statistics.items():
        if name == "_equity_curve":
            facts[name] = {"Time": [plain(time) for time in value.index]}
            facts[name] |= {column: [plain(cell) for cell in value[column]] for column in value.columns}
        elif name == "_trades":
            rows = value.to_dict("records")
            facts[name] = [{str(key): plain(cell) for key, cell in row.items()} for row in rows]
        elif name == "_strategy":
            facts[name] = str(value)[:200]
        else:
            facts[name] = plain(value)
    return facts


# The view into the future. What is decided up to a bar must not depend on what comes after it. So a run is repeated
# with all later prices changed, is ended at that bar, and must have decided the same. Fills are not compared: stops and
# limits are filled inside the next bar, rightly so.

RUNS = 16
FIRST_RUNS = 2
FACTORS = {"up": 1.5, "down": 1 / 1.5}


def decision_bars(run):
    """Bars on which orders were placed, told apart by whether they add to the position or reduce it."""
    size = len(PRICES)
    begin = size // 10
    if issubclass(STRATEGY, TrailingStrategy):
        # The library fills its first 100 values backwards.
        begin = max(begin, 101)
    bars = {"entry": [], "exit": []}
    before = ()
    for bar, orders, trades in run.decided:
        new = [order for order in orders if order not in before]
        before = orders
        if new and begin <= bar < size - 2:
            position = sum(trade[0] for trade in trades)
            bars["exit" if position * new[0][0] < 0 else "entry"].append(bar)
    others = sorted({int(bar) for bar in np.linspace(max(begin, 0.15 * size), 0.95 * size, RUNS)})
    return bars, [bar for bar in others if bar < size - 2]


def choose(bars, others, count, used):
    """So many bars that are not used yet, evenly spread; any other ones if decisions are few."""
    free = [bar for bar in bars if bar not in used]
    if len(free) >= count:
        return [free[int(at)] for at in np.linspace(0, len(free) - 1, count)]
    return (free + [bar for bar in others if bar not in used and bar not in free])[:count]


def changed_after(bar, factor):
    prices = PRICES.copy()
    prices.iloc[bar + 1:] *= factor
    return prices


def difference(base, bar, factor):
    """What is different up to this bar if all later prices are; None if nothing is."""
    try:
        run = Run(STRATEGY, changed_after(bar, factor), until=bar)
    except Exception as error:
        return f"it fails with {one_line(error)[:120]}"
    if run.indicators:
        if [one.shape for one in run.indicators] != [one.shape for one in base.indicators]:
            return "the indicators have other shapes"
        for number, (one, other) in enumerate(zip(base.indicators, run.indicators)):
            one, other = (np.asarray(values[..., : bar + 1], dtype=float) for values in (one, other))
            if not np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True):
                return f"indicator {INDICATORS[number]} changes at or before that bar"
    if run.decided != [entry for entry in base.decided if entry[0] <= bar]:
        return "orders, stops or sizes change at or before that bar"
    return None


def look_ahead(base):
    bars, others = decision_bars(base)
    used, flags, examples, tried = {}, {}, [], 0

    def attempt(kind, direction, count):
        nonlocal tried
        done = used.setdefault((kind, direction), [])
        for bar in choose(bars[kind], others, count, done):
            done.append(bar)
            tried += 1
            found = difference(base, bar, FACTORS[direction])
            if found is not None:
                flags[kind, direction] = flags.get((kind, direction), 0) + 1
                if len(examples) < 3:
                    time = plain(PRICES.index[bar])
                    examples.append(f"with all prices after bar {bar} ({time}) times {FACTORS[direction]:.3g}, {found}")

    groups = [(kind, direction) for kind in bars for direction in FACTORS]
    for group in groups:
        attempt(*group, FIRST_RUNS)
    rest = RUNS - FIRST_RUNS * len(groups)
    if flags:
        attempt(*max(flags, key=flags.get), rest)
    else:
        for group in groups:
            attempt(*group, rest // len(groups))
    return {"tried": tried, "flagged": sum(flags.values()), "examples": examples}


try:
    STRATEGY = load_strategy()
    first = Run(STRATEGY, PRICES)
    result = {"fingerprint": first.fingerprint()}
    if job["full"]:
        indicators = first.statistics._strategy._indicators
        INDICATORS = [str(getattr(one, "name", number)) for number, one in enumerate(indicators)]
        equity = first.statistics["_equity_curve"]["Equity"].to_numpy(dtype=float)
        result["backtest"] = {
            "same_again": Run(STRATEGY, PRICES).fingerprint() == result["fingerprint"],
            "lowest_equity": float(equity.min()) if np.isfinite(equity).all() else None,
            "trades": len(first.statistics["_trades"]),
            "statistics": statistics_of(first),
            "close": [plain(price) for price in PRICES["Close"]],
            "look_ahead": look_ahead(first),
        }
except BaseException as error:
    fail_with(error)
lap("backtest")
report(result=result)
