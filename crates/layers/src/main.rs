//! `cargo run -q -p resnet-layers`, from the root of the workspace: see the library.

use std::{path::Path, process::ExitCode};

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let mut code = ExitCode::SUCCESS;
    for report in resnet_layers::check_workspace(Path::new(&root))? {
        match report.circles.len() {
            0 => println!("{}: no circle", report.name),
            1 => println!("{}: 1 circle", report.name),
            n => println!("{}: {n} circles", report.name),
        }
        for circle in &report.circles {
            println!("{circle}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
