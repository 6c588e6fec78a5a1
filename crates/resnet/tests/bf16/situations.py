"""Uneven networks and batches: what check.py changes in a trained net before it computes.

A change gets the state dict, `input` [n, 3, 32, 32] and `target` [n], and changes them in place.
Names of layers are those of the paper's ResNet-20. Soft pruning takes training as well, which is there."""
import torch

# The 3x3 convolution, of 64 channels and a stride of 1, that some change, and the batch norm before it.
CONV, NORM = "layer3.1.conv2", "layer3.1.bn1"
CHANNEL = 5
DEAD = 0.3
PRUNED = 0.5
SMALL = 1e-4
LARGE = 1e3


def wrong_labels(state, x, y):
    y += 1
    y %= 10


def inputs(factor):
    def change(state, x, y):
        x *= factor
    return change


def dead_channels(state, norms, weight, bias):
    """The same part of the channels of every batch norm whose name ends like this."""
    generator = torch.Generator().manual_seed(0)
    for name in [key.removesuffix(".running_var") for key in state if key.endswith(norms + ".running_var")]:
        dead = torch.rand(len(state[f"{name}.bias"]), generator=generator) < DEAD
        state[f"{name}.weight"][dead] *= weight
        state[f"{name}.bias"][dead] = bias


def dead_by_zeros(state, x, y):
    dead_channels(state, "", 0.0, 0.0)


def dead_by_bias(state, x, y):
    """Those that a ReLU follows at once; others would kill the sums of all later blocks."""
    dead_channels(state, "bn1", 1.0, -20.0)


def gain(state, x, y):
    state[f"{NORM}.weight"][CHANNEL] *= LARGE


def gain_half_unread(state, x, y):
    gain(state, x, y)
    state[f"{CONV}.weight"][::2, CHANNEL] = 0.0


def small_fourths(state, x, y):
    state[f"{CONV}.weight"][0::4, CHANNEL] *= SMALL


def small_row(state, x, y):
    state[f"{CONV}.weight"][7, :16] *= SMALL


def pruned(state):
    """Kernels of random pairs of an output and an input, in every 3x3 convolution: `[out, in, 1, 1]`."""
    generator = torch.Generator().manual_seed(0)
    windows = {key: weight for key, weight in state.items() if weight.shape[2:] == (3, 3)}
    chance = lambda weight: torch.rand(*weight.shape[:2], 1, 1, generator=generator)
    return {key: chance(weight) < PRUNED for key, weight in windows.items()}


def nothing(state, x, y):
    pass


# Of a ResNet-20: the gradients of one batch are compared.
GRADIENTS = {
    "trained": nothing,
    "wrong-labels": wrong_labels,
    "inputs-times-30": inputs(30),
    "inputs-over-30": inputs(1 / 30),
    "dead-by-zeros": dead_by_zeros,
    "dead-by-bias": dead_by_bias,
    "gain": gain,
    "gain-half-unread": gain_half_unread,
    "small-fourths": small_fourths,
    "small-row": small_row,
}
