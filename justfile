# All that continuous integration checks
check:
    .ci/run

# Tests; a name selects those that have it in theirs
test *args:
    cargo test --workspace {{args}}

# Tests of the NEON kernels under emulation; arguments are those of `cargo test`
neon *args:
    scripts/check-neon {{args}}

# Valid and invalid calls of the kernels under AddressSanitizer: number of calls, seed
sanitizer *args:
    scripts/check-sanitizer {{args}}

# Tests against PyTorch, torchvision, timm and ONNX Runtime
pytorch:
    scripts/check-pytorch

# bfloat16 on uneven networks, compared with PyTorch's autocast; arguments are those of the script
bf16 *args:
    scripts/check-bf16 {{args}}

# Every command of the documents; arguments are those of the script
docs *args:
    scripts/check-docs {{args}}

# Benchmarks, each of which verifies before it times
bench *args:
    cargo bench --workspace {{args}}

# Formats the code
fmt:
    cargo fmt --all

# Documentation of the library, in the browser
doc:
    cargo doc --workspace --no-deps --open
