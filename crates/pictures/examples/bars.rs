//! A bar chart, as `benchmarks/page.py` draws it: JSON on stdin, SVG on stdout.

use std::io;

use resnet_pictures::{Bar, Theme, bars};
use serde::Deserialize;

#[derive(Deserialize)]
struct Chart {
    headline: String,
    detail: String,
    bars: Vec<Bar>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chart: Chart = serde_json::from_reader(io::stdin())?;
    let title = (chart.headline.as_str(), chart.detail.as_str());
    print!("{}", bars(&chart.bars, title, &Theme::AUTO));
    Ok(())
}
