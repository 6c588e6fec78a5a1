//! The figures of experiments, as the paper draws them.

use resnet::{
    Arch,
    experiment::{Kind, NetResult, Point, Results},
};
use resnet_pictures::{Axis, Curve, Panel, Stroke, Theme, curves, panels};

use super::net_responses::NetResponses;

/// What an experiment is about.
pub(super) fn headline(kind: Kind, data: &str) -> String {
    let what = match kind {
        Kind::Degradation | Kind::Responses => "Plain and residual nets",
        Kind::Shortcuts => "Shortcuts of options A, B and C",
        Kind::Depth => "Residual nets of different depths",
    };
    format!("{what} on {data}")
}

fn is_residual(net: &str) -> bool {
    net.parse::<Arch>().is_ok_and(|net| net.residual)
}

/// Training error (dashed) and test or validation error (bold) over epochs: plain nets next to residual ones,
/// where there are both.
pub(super) fn errors(results: &Results, (headline, detail): (&str, &str), theme: &Theme) -> String {
    let (residual, plain): (Vec<&NetResult>, Vec<&NetResult>) =
        results.nets.iter().partition(|net| is_residual(&net.net));
    let range = range(results.nets.iter().flat_map(|net| &net.curve));
    let epochs = results.nets.iter().flat_map(|net| &net.curve).map(|point| point.epoch as f64);
    let last = epochs.fold(1.0, f64::max);
    let x = Axis {
        label: "epoch".into(),
        range: Some([if last > 1.0 { 1.0 } else { 0.0 }, last]),
        ..Axis::default()
    };
    let y = Axis { label: "error, %".into(), range: Some(range), ..Axis::default() };
    let detail = format!("bold: {} error, dashed: training error; {detail}", results.part);
    let title = (headline, &*detail);
    let of = |nets: &[&NetResult]| -> Vec<Curve> {
        nets.iter().enumerate().flat_map(|(colour, net)| pair(net, colour, range[1])).collect()
    };
    if plain.is_empty() || residual.is_empty() {
        let all: Vec<&NetResult> = results.nets.iter().collect();
        return curves(&of(&all), [&x, &y], title, theme);
    }
    let panel =
        |heading: &str, nets: &[&NetResult]| Panel { heading: heading.into(), curves: of(nets) };
    let both = [panel("plain nets", &plain), panel("residual nets", &residual)];
    panels(&both, [&x, &y], title, theme)
}

/// The two curves of a net, with its name at the test error.
fn pair(net: &NetResult, colour: usize, top: f64) -> [Curve; 2] {
    let points = |error: fn(&Point) -> Option<f64>| {
        let place = |point: &Point| Some([point.epoch as f64, error(point)?]);
        clipped(net.curve.iter().filter_map(place), top)
    };
    let train = points(|point| Some(point.train_error));
    let test = points(|point| point.test_error);
    // Of data without held-out images there is the training error alone.
    let labelled = |is: bool| if is { net.net.clone() } else { String::new() };
    let has_test = !test.is_empty();
    [
        Curve { label: labelled(!has_test), points: train, stroke: Stroke::Dashed, colour },
        Curve { label: labelled(has_test), points: test, stroke: Stroke::Bold, colour },
    ]
}

/// The range of errors to show: from 0, or a little below all errors where these are close together, to a little
/// above all of the second half. The first epochs of a long run are far above them.
fn range<'p>(points: impl Iterator<Item = &'p Point> + Clone) -> [f64; 2] {
    const SHORT: u64 = 6;
    let last = points.clone().map(|point| point.epoch).max().unwrap_or(0);
    let from = if last <= SHORT { 0 } else { last / 2 };
    let late = points.filter(|point| point.epoch >= from);
    let both = |point: &Point| [point.train_error, point.test_error.unwrap_or(point.train_error)];
    let (least, most) = late
        .flat_map(both)
        .fold((100f64, 0f64), |(least, most), error| (least.min(error), most.max(error)));
    let top = ((most * 1.1 / 5.0).ceil() * 5.0).clamp(5.0, 100.0);
    let bottom = ((least * 0.9 / 5.0).floor() * 5.0).clamp(0.0, top - 5.0);
    [if bottom > top / 2.0 { bottom } else { 0.0 }, top]
}

/// A line that ends at the top, where it comes from above it.
fn clipped(points: impl Iterator<Item = [f64; 2]>, top: f64) -> Vec<[f64; 2]> {
    let mut shown: Vec<[f64; 2]> = Vec::new();
    let mut before: Option<[f64; 2]> = None;
    for point in points {
        if let Some(before) = before
            && (before[1] > top) != (point[1] > top)
        {
            let share = (top - before[1]) / (point[1] - before[1]);
            shown.push([before[0] + share * (point[0] - before[0]), top]);
        }
        // What is above the top ends the line.
        shown.push(if point[1] > top { [point[0], f64::NAN] } else { point });
        before = Some(point);
    }
    shown
}

/// Responses in the order of the layers, and sorted (figure 7): plain nets dashed, residual ones bold.
pub(super) fn responses(
    nets: &[NetResponses],
    (headline, detail): (&str, &str),
    theme: &Theme,
) -> String {
    let mut depths: Vec<Option<usize>> = Vec::new();
    let mut colour = |net: &NetResponses| {
        let depth = net.arch.parse::<Arch>().ok().map(|arch| arch.depth);
        depths.iter().position(|known| *known == depth).unwrap_or_else(|| {
            depths.push(depth);
            depths.len() - 1
        })
    };
    let colours: Vec<usize> = nets.iter().map(&mut colour).collect();
    let curve = |sorted: bool| -> Vec<Curve> {
        let of = |(net, &colour): (&NetResponses, &usize)| {
            let mut values: Vec<f64> = net.layers.iter().map(|layer| layer.std).collect();
            if sorted {
                values.sort_by(|a, b| b.total_cmp(a));
            }
            let stroke = if is_residual(&net.arch) { Stroke::Bold } else { Stroke::Dashed };
            let points = values.iter().enumerate().map(|(i, &std)| [i as f64 + 1.0, std]).collect();
            Curve { label: net.name.clone(), points, stroke, colour }
        };
        nets.iter().zip(&colours).map(of).collect()
    };
    let layers = nets.iter().map(|net| net.layers.len()).max().unwrap_or(1);
    let most = nets.iter().flat_map(|net| &net.layers).map(|layer| layer.std).fold(0.0, f64::max);
    let x = Axis { label: "layer".into(), range: Some([1.0, layers as f64]), ..Axis::default() };
    let y = Axis {
        label: "standard deviation".into(),
        range: Some([0.0, most * 1.05]),
        ..Axis::default()
    };
    let both = [("original order", false), ("sorted by magnitude", true)]
        .map(|(heading, sorted)| Panel { heading: heading.into(), curves: curve(sorted) });
    panels(&both, [&x, &y], (headline, detail), theme)
}

#[cfg(test)]
mod tests {
    use resnet::experiment::Response;

    use super::*;

    fn net(name: &str, errors: &[f64]) -> NetResult {
        let point = |(index, &error): (usize, &f64)| Point {
            epoch: index as u64 + 1,
            train_error: error / 2.0,
            test_error: Some(error),
        };
        NetResult {
            net: name.into(),
            parameters: None,
            train_error: None,
            test_error: None,
            best_test_error: None,
            epochs_to: Vec::new(),
            paper: None,
            runs: Vec::new(),
            curve: errors.iter().enumerate().map(point).collect(),
        }
    }

    fn results(nets: Vec<NetResult>) -> Results {
        Results {
            part: "validation",
            levels: resnet::experiment::LEVELS,
            nets,
            comparisons: Vec::new(),
        }
    }

    fn lines(svg: &str) -> Vec<(bool, Vec<f64>)> {
        let lines = svg.lines().filter(|line| line.contains("<polyline"));
        lines
            .map(|line| {
                let points = line.split('"').nth(1).unwrap().split([' ', ',']);
                (line.contains("dasharray"), points.map(|n| n.parse().unwrap()).collect())
            })
            .collect()
    }

    #[test]
    fn every_net_has_a_dashed_and_a_bold_line() {
        let errors_of = [60.0, 40.0, 20.0];
        let all = ["plain8", "plain14", "resnet8", "resnet14"].map(|name| net(name, &errors_of));
        let svg = errors(&results(all.into()), ("headline", "detail"), &Theme::LIGHT);
        let found = lines(&svg);
        assert_eq!(found.iter().filter(|(dashed, _)| *dashed).count(), 4);
        assert_eq!(found.len(), 8);
        // Three epochs each, and the test error above the training error.
        for (dashed, points) in &found {
            assert_eq!(points.len(), 6);
            assert!(
                points[1] < points[3] && points[3] < points[5],
                "errors fall: {dashed} {points:?}"
            );
        }
        for text in ["plain nets", "residual nets", ">plain14<", ">resnet14<", "validation error"] {
            assert!(svg.contains(text), "{text}");
        }
        // Without plain nets there is one chart.
        let one = errors(&results(vec![net("resnet8", &errors_of)]), ("h", "d"), &Theme::LIGHT);
        assert!(lines(&one).len() == 2 && !one.contains("residual nets"));
    }

    #[test]
    fn limits_show_the_second_half_of_a_long_run() {
        let errors_of: Vec<f64> = (0..20).map(|i| 80.0 / (1.0 + f64::from(i))).collect();
        let long = net("resnet8", &errors_of);
        // The tenth epoch has 8%.
        assert_eq!(range(long.curve.iter()), [0.0, 10.0]);
        assert_eq!(range(net("resnet8", &[60.0, 40.0]).curve.iter()), [0.0, 70.0]);
        // Training errors are half of these.
        let close = [Point { epoch: 1, train_error: 88.0, test_error: Some(85.0) }];
        assert_eq!(range(close.iter()), [75.0, 100.0]);
        assert_eq!(range([].iter()), [0.0, 5.0]);
        let line = clipped([[1.0, 30.0], [2.0, 10.0], [3.0, 5.0]].into_iter(), 20.0);
        assert!(line[0][1].is_nan());
        assert_eq!(line[1..], [[1.5, 20.0], [2.0, 10.0], [3.0, 5.0]]);
    }

    #[test]
    fn responses_are_drawn_in_order_and_sorted() {
        let layers = [1.0, 3.0, 2.0].map(|std| Response { layer: "conv".into(), std }).to_vec();
        let of = |name: &str| NetResponses {
            name: name.into(),
            arch: name.into(),
            images: 1,
            layers: layers.clone(),
        };
        let svg = responses(&[of("plain8"), of("resnet8")], ("h", "d"), &Theme::LIGHT);
        let found = lines(&svg);
        assert_eq!(found.len(), 4);
        let heights = |points: &[f64]| [points[1], points[3], points[5]];
        let [a, b, c] = heights(&found[0].1);
        assert!(a > c && c > b, "the second is the largest");
        assert!(found.iter().any(|(_, points)| heights(points).is_sorted()));
        assert!(found[0].0 && !found[1].0, "the plain net is dashed");
    }
}
