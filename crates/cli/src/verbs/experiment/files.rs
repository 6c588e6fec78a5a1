//! Files of an experiment.

use std::{io, path::Path};

use anyhow::Context;
use resnet_formats::{Shown, atomic_write};

/// Writes a file of an experiment.
pub(super) fn write(
    path: &Path,
    content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    atomic_write(path, content).with_context(|| format!("cannot write {}", path.shown()))
}
