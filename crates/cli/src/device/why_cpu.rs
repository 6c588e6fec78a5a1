//! Why the CPU computes where nobody asked for it: for the header of a run.

use std::sync::OnceLock;

static WHY: OnceLock<String> = OnceLock::new();

/// Why `--device auto` took the CPU, in a few words, where nothing is wrong: `no GPU found`.
pub(crate) fn why_cpu() -> Option<&'static str> {
    WHY.get().map(String::as_str)
}

/// The first reason counts: the process has one device.
pub(super) fn set_why_cpu(why: String) {
    let _ = WHY.set(why);
}
