//! A chart of curves: JSON on stdin, SVG on stdout.

use std::io;

use resnet_pictures::{Axis, Curve, Theme, curves};
use serde::Deserialize;

#[derive(Deserialize)]
struct Chart {
    headline: String,
    detail: String,
    x: Axis,
    y: Axis,
    curves: Vec<Curve>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chart: Chart = serde_json::from_reader(io::stdin())?;
    let title = (chart.headline.as_str(), chart.detail.as_str());
    print!("{}", curves(&chart.curves, [&chart.x, &chart.y], title, &Theme::AUTO));
    Ok(())
}
