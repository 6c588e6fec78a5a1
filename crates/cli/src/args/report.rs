//! Arguments of `resnet report`.

use std::path::PathBuf;

use clap::Args;

use super::{
    shared::{DataDir, Output},
    values,
};

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ReportArgs {
    /// Folders of runs, finished or not; `last` is the newest in runs
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// File to write [default: RUN/report.html, or report.html for several runs]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Open it in the browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Heading [default: the architecture and the data set]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Curves and settings only: test nothing, so that no data set is needed
    #[arg(long, conflicts_with = "limit_test")]
    pub(crate) no_eval: bool,
    /// Test on the first N test images only [default: as the run did]
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_test: Option<usize>,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    #[command(flatten)]
    pub(crate) output: Output,
}
