//! `resnet eval`: evaluates a trained network on test images.

use anyhow::Context;
use resnet::evaluate::{self, Evaluation};
use resnet_formats::{Destination, Shown};

use crate::{
    args::{EvalArgs, Global},
    evaluation, print,
    table::{
        Align::{Left, Right},
        table,
    },
};

pub(crate) fn run(args: &EvalArgs, global: &Global) -> anyhow::Result<()> {
    let evaluated = evaluation::evaluate(&args.evaluation, args.resizing, global)?;
    if let Some(path) = &args.logits {
        let predictions = &evaluated.predictions;
        evaluate::save_logits(
            Destination::Follow(path),
            predictions.all_logits(),
            predictions.classes(),
        )
        .with_context(|| format!("cannot write {}", path.shown()))?;
    }
    let result = &evaluated.result;
    if args.output.json { print::json(result) } else { show(result) }
}

fn show(result: &Evaluation) -> anyhow::Result<()> {
    for (label, value) in [
        ("accuracy", format!("{:.2}%", result.accuracy)),
        ("top-5", format!("{:.2}%", result.top5_accuracy)),
        ("loss", format!("{:.4}", result.loss)),
        ("ECE", format!("{:.2}%", result.calibration_error)),
        ("images", print::grouped(result.images)),
        ("time", format!("{:.1} s", result.seconds)),
    ] {
        print::line(format!("{label:<10}{value}"))?;
    }
    let rows = result
        .per_class
        .iter()
        .map(|c| vec![c.class.clone(), print::grouped(c.images), format!("{:.2}%", c.accuracy)]);
    let headers = [("class", Left), ("images", Right), ("accuracy", Right)];
    Ok(print::line(format!("\n{}", table(&headers, rows)))?)
}
