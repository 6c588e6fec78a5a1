//! The header of a run: network, data, recipe, device.

use resnet::train::{Machine, Started};
use resnet_formats::{Shown, brief, printable};

use crate::print::{self, counted};

/// The header, one line per fact; with why the CPU computes, if there is something to say.
pub(super) fn header(run: &Started, why_cpu: Option<&str>) -> String {
    let n = print::grouped;
    let Machine { dtype, dtype_reason, .. } = &run.machine;
    let parts = [
        ("training", run.train_images),
        ("validation", run.validation_images),
        ("test", run.test_images),
    ];
    let parts = parts.into_iter().filter(|&(_, images)| images > 0);
    let parts: Vec<String> = parts.map(|(part, images)| format!("{} {part}", n(images))).collect();
    let why_cpu = why_cpu.map_or(String::new(), |why| format!("; {why}"));
    let resumed = match run.step {
        0 => String::new(),
        step => format!("; {} done", counted(step, "step")),
    };
    [
        ("arch", format!("{}, {} parameters", run.arch, n(run.parameters))),
        ("data", format!("{}, {} images", brief(&run.data), parts.join(", "))),
        (
            "recipe",
            format!(
                "{}, batch {}, {}, {}{resumed}",
                brief(&run.recipe),
                run.batch_size,
                counted(run.epochs, "epoch"),
                counted(run.total_steps, "step")
            ),
        ),
        ("device", format!("{}, {}{why_cpu}", run.machine.device(), run.machine.workers())),
        ("dtype", format!("{dtype}: {dtype_reason}")),
        ("folder", run.folder.shown().to_string()),
    ]
    .map(|(label, value)| format!("{label:<8}{}", printable(&value)))
    .join("\n")
}
