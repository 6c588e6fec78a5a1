"""How far a comparison is, and how long the rest may take."""

import sys
import time

# Seconds before a measurement can begin: loading the program, building, compiling the network.
START_UP = {"bench": 1.0, "train": 5.0, "torch": 8.0, "ort": 8.0, "openvino": 8.0}
COMPILING = 30.0
# `resnet train` works on so many times as long as a measurement, as a guess.
EPOCH = 6.0


def say(text):
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Guesses what measurements cost, and corrects the guess by what they have cost so far."""

    def __init__(self):
        self.guessed = self.taken = 0.0
        self.begun = time.monotonic()

    def begin(self):
        self.begun = time.monotonic()

    def end(self, guess):
        self.guessed += guess
        self.taken += time.monotonic() - self.begun

    def left(self, guess):
        """Time for work of which the guess is `guess` seconds, as text."""
        seconds = guess * (self.taken / self.guessed if self.guessed else 1.0)
        if seconds < 90:
            return f"{seconds:.0f} s left"
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min left" if hours else f"{minutes} min left"


def guess(case, round, variant, seconds):
    """Seconds that a measurement takes, roughly."""
    measuring = seconds * case.stretch * (EPOCH if variant.tool == "train" else 1.2)
    if variant.tool in ("torch", "ort") and round > 1 and not variant.fresh:
        return measuring
    compiling = COMPILING if "--compile" in variant.options else 0.0
    return measuring + START_UP[variant.tool] + compiling
