import pandas as pd
from backtesting import Strategy
from backtesting.lib import crossover


def macd(values, fast, slow, smooth):
    close = pd.Series(values)
    line = (
        close.ewm(span=fast, min_periods=slow, adjust=False).mean()
        - close.ewm(span=slow, min_periods=slow, adjust=False).mean()
    )
    signal = line.ewm(span=smooth, min_periods=smooth, adjust=False).mean()
    return line, signal, line - signal


class MacdCross(Strategy):
    fast = 12
    slow = 26
    smooth = 9

    def init(self):
        self.line, self.signal, self.histogram = self.I(
            macd, self.data.Close, self.fast, self.slow, self.smooth
        )

    def next(self):
        if crossover(self.line, self.signal) and self.line[-1] < 0:
            self.buy()
        elif self.position and self.histogram[-1] < 0:
            self.position.close()
