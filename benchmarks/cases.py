"""What is compared: a case for each row or two of the table, and what it should reach."""

from dataclasses import dataclass, field

AVX2_HERE = {"RESNET_ISA": "avx2"}
AVX2_PYTORCH = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


@dataclass(frozen=True)
class Work:
    arch: str
    mode: str
    dtype: str
    batch: int

    def options(self, *names):
        """The named settings as options of the command line; all of them, if none is named."""
        names = names or ("arch", "mode", "dtype", "batch")
        return [word for name in names for word in (f"--{name}", str(getattr(self, name)))]


@dataclass(frozen=True)
class Variant:
    """One way to run a contestant. Of several, the better one counts."""

    name: str
    tool: str  # bench, train, torch or ort
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    threads: int | None = None  # None: the number given for the run
    fresh: bool = False  # a peer starts again for each measurement


@dataclass(frozen=True)
class Contestant:
    name: str
    variants: tuple[Variant, ...]
    target: float | None = None  # None: it is the one that the others are compared with


@dataclass(frozen=True)
class Unit:
    name: str
    field: str  # of the records that contestants print
    higher_is_better: bool
    decimals: int
    # Speed is a multiple of theirs, memory a fraction.
    part: bool = False


RATE = Unit("images/s", "images_per_second", higher_is_better=True, decimals=1)
TIME = Unit("ms", "ms_per_step", higher_is_better=False, decimals=2)
MEMORY = Unit("MB", "peak_memory_mb", higher_is_better=False, decimals=0, part=True)


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    work: Work
    contestants: tuple[Contestant, ...]  # ours is the first
    unit: Unit = RATE
    stretch: float = 1.0  # factor on the time of a measurement, where a step is long


def ours(name="resnet", tool="bench", **settings):
    return Contestant(name, (Variant("", tool, **settings),))


def pytorch(target, compiled=False, **settings):
    options = ("--compile",) if compiled else ()
    layouts = {"NCHW": "contiguous_format", "channels_last": "channels_last"}
    variants = tuple(
        Variant(name, "torch", (*options, "--layout", layout), **settings)
        for name, layout in layouts.items()
    )
    return Contestant("torch.compile" if compiled else "PyTorch eager", variants, target)


def onnx_runtime(target):
    return Contestant("ONNX Runtime", (Variant("", "ort"),), target)


def case(prefix, title, work, contestants, **settings):
    """`{}` in the title stands for the work."""
    name = f"{prefix}-{work.arch}-{work.dtype}-{work.batch}"
    text = f"{work.mode} {work.arch} {work.dtype}, batch {work.batch}"
    if not work.arch.endswith("-cifar") and work.arch != "resnet20":
        text += " at 224x224"
    return Case(name, title.format(text), work, tuple(contestants), **settings)


def openvino(target):
    return Contestant("OpenVINO", (Variant("", "openvino"),), target)


def train(arch, dtype, batch, eager, compiled=None, **settings):
    peers = [pytorch(eager)]
    if compiled is not None:
        peers.append(pytorch(compiled, compiled=True))
    work = Work(arch, "train", dtype, batch)
    return case("train", "{}", work, [ours(), *peers], **settings)


def infer(arch, batch, target, *others, **settings):
    unit = TIME if batch == 1 else RATE
    work = Work(arch, "eval", "fp32", batch)
    return case("eval", "{}", work, [ours(), onnx_runtime(target), *others], unit=unit, **settings)


def verb(dtype, batch):
    """`resnet train` itself, with loading, augmenting and logging."""
    bench = Contestant("`resnet bench`", (Variant("", "bench"),), target=0.95)
    work = Work("resnet18-cifar", "train", dtype, batch)
    return case("verb", "`resnet train`: {}", work, [ours(tool="train"), bench])


STEP = Work("resnet18-cifar", "train", "fp32", 128)

CASES = [
    train("resnet18-cifar", "fp32", 128, eager=2.5, compiled=2.3),
    train("resnet18-cifar", "fp32", 32, eager=2.4, compiled=2.0),
    train("resnet18-cifar", "bf16", 128, eager=2.0, compiled=2.0),
    train("resnet18-cifar", "bf16", 32, eager=2.4, compiled=2.0),
    train("resnet20", "fp32", 128, eager=1.6),
    train("resnet50", "fp32", 16, eager=1.4, stretch=4.0),
    infer("resnet18-cifar", 128, target=2.0),
    infer("resnet18", 1, target=1.3),
    infer("resnet50", 1, target=1.05),
    train("resnext50_32x4d", "fp32", 16, eager=1.3, stretch=4.0),
    infer("resnext50_32x4d", 1, 1.0, openvino(1.0)),
    infer("resnext50_32x4d", 16, 1.0, openvino(1.0), stretch=2.0),
    case(
        "memory",
        "peak memory: {}",
        STEP,
        [ours(), pytorch(0.5, fresh=True)],
        unit=MEMORY,
    ),
    case(
        "threads",
        "all threads against one: {}",
        STEP,
        [ours(), Contestant("one thread", (Variant("", "bench", threads=1),), target=1.85)],
    ),
    case(
        "avx2",
        "AVX2: {}",
        STEP,
        [ours(env=AVX2_HERE), pytorch(1.8, env=AVX2_PYTORCH)],
    ),
    verb("fp32", 128),
    verb("fp32", 32),
    verb("bf16", 128),
]
