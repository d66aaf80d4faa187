import pandas as pd


def init(data):
    return data["Close"].rolling(20).mean()


def next(data, average):
    return "buy" if data["Close"].iloc[-1] > average.iloc[-1] else "sell"
