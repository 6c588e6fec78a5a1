//! `cargo run -q -p resnet-layers`, in the root of the workspace. See the library.

use std::{path::Path, process::ExitCode};

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let mut code = ExitCode::SUCCESS;
    for report in resnet_layers::check_workspace(Path::new(&root))? {
        match report.cycles.len() {
            0 => println!("{}: no cycle", report.name),
            1 => println!("{}: 1 cycle", report.name),
            n => println!("{}: {n} cycles", report.name),
        }
        for cycle in &report.cycles {
            println!("{cycle}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
