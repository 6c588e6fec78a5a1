//! Arguments of `resnet report`.

use std::path::PathBuf;

use clap::Args;

use super::{
    shared::{DataDir, Output},
    values,
};
use crate::completion;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ReportArgs {
    /// Run folders, of finished or unfinished runs; `last` is the newest in `runs`
    #[arg(value_name = "RUN", required = true, add = completion::runs())]
    pub(crate) runs: Vec<PathBuf>,
    /// Do not evaluate the networks on test images; then no data set is needed
    #[arg(long, conflicts_with = "limit_test", help_heading = "Evaluation")]
    pub(crate) no_eval: bool,
    /// Evaluate on the first N test images only, or, of photos, on N random ones, of each class the
    /// same share [default: the run's setting]
    #[arg(long, value_name = "N", value_parser = values::count, help_heading = "Evaluation")]
    pub(crate) limit_test: Option<usize>,
    #[command(flatten, next_help_heading = "Evaluation")]
    pub(crate) data_dir: DataDir,
    /// HTML file to write [default: RUN/report.html, or for several runs a new
    /// report.html, report-2.html, ...]
    #[arg(
        long,
        value_name = "FILE",
        value_parser = values::file_of("html"),
        help_heading = "Output"
    )]
    pub(crate) out: Option<PathBuf>,
    /// Title of the report [default: the architecture and the data set]
    #[arg(long, value_name = "TEXT", value_parser = values::title, help_heading = "Output")]
    pub(crate) title: Option<String>,
    /// Open the report in the browser
    #[arg(long, help_heading = "Output")]
    pub(crate) open: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
}
