# All that continuous integration checks
check:
    .ci/run

# Tests; a name selects those that have it in theirs
test *args:
    cargo test --workspace {{args}}

# Benchmarks, each of which verifies before it times
bench *args:
    cargo bench --workspace {{args}}

# Formats the code
fmt:
    cargo fmt --all

# Documentation of the library, in the browser
doc:
    cargo doc --workspace --no-deps --open
