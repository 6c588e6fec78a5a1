//! The header of a run: network, data, recipe, device.

use resnet::train::{Machine, Started};
use resnet_formats::{Shown, brief, printable};

use crate::print;

/// The header, one line per fact.
pub(super) fn header(run: &Started) -> String {
    let n = print::grouped;
    let Machine { isa, threads, dtype, dtype_reason, .. } = &run.machine;
    let validation = match run.validation_images {
        0 => String::new(),
        images => format!("{} validation, ", n(images)),
    };
    let resumed = match run.step {
        0 => String::new(),
        step => format!("; {step} steps done"),
    };
    [
        ("arch", format!("{}, {} parameters", run.arch, n(run.parameters))),
        (
            "data",
            format!(
                "{}, {} training, {validation}{} test images",
                brief(&run.data),
                n(run.train_images),
                n(run.test_images)
            ),
        ),
        (
            "recipe",
            format!(
                "{}, batch {}, {} epochs, {} steps{resumed}",
                brief(&run.recipe),
                run.batch_size,
                run.epochs,
                n(run.total_steps as usize)
            ),
        ),
        ("device", format!("{isa}, {threads} threads")),
        ("dtype", format!("{dtype}: {dtype_reason}")),
        ("folder", run.folder.shown().to_string()),
    ]
    .map(|(label, value)| format!("{label:<8}{}", printable(&value)))
    .join("\n")
}
