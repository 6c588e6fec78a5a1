use super::*;

fn curve(points: &[[f64; 2]], stroke: Stroke) -> Curve {
    Curve { label: "a & b".into(), points: points.to_vec(), stroke, colour: 1 }
}

fn axis(range: Option<[f64; 2]>) -> Axis {
    Axis { label: "value".into(), range, logarithmic: false }
}

#[test]
fn powers_of_ten_are_in_equal_distances() {
    let axis = Axis { logarithmic: true, ..axis(None) };
    let scale = Scale::new(&axis, [1e-7, 0.0, 2e-3, 10.0].into_iter(), [0.0, 8.0]);
    assert!(scale.shows(1e-7) && !scale.shows(0.0) && !scale.shows(11.0));
    assert!((scale.place(1e-3) - 4.0).abs() < 1e-6);
    let texts: Vec<String> = scale.ticks().into_iter().map(|tick| tick.1).collect();
    assert_eq!(texts.len(), 9);
    assert_eq!((&*texts[0], &*texts[8]), ("1e-7", "1e1"));
    let wide = Axis { range: Some([1e-30, 1e30]), ..axis };
    let ticks = Scale::new(&wide, std::iter::empty(), [0.0, 1.0]).ticks();
    assert!((5..=11).contains(&ticks.len()), "{ticks:?}");
}

#[test]
fn lines_are_in_proportion_and_end_at_what_is_not_shown() {
    let all = [
        curve(&[[0.0, 0.0], [5.0, 10.0], [10.0, 5.0]], Stroke::Bold),
        curve(&[[0.0, 5.0], [5.0, f64::NAN], [6.0, 20.0], [8.0, 5.0]], Stroke::Dashed),
    ];
    let (x, y) = (axis(None), axis(Some([0.0, 10.0])));
    let svg = curves(&all, [&x, &y], "", &Theme::LIGHT);
    let lines: Vec<&str> = svg.lines().filter(|line| line.contains("<polyline")).collect();
    assert_eq!(lines.len(), 3);
    let points = |line: &str| -> Vec<f32> {
        let points = line.split('"').nth(1).unwrap();
        points.split([' ', ',']).map(|number| number.parse().unwrap()).collect()
    };
    // The thin ones come first: two single points, then the bold line.
    assert_eq!(points(lines[0])[1], points(lines[1])[1]);
    assert!((points(lines[1])[0] - points(lines[0])[0] - 0.8 * WIDTH).abs() < 0.1);
    let bold = points(lines[2]);
    assert!((bold[4] - bold[0] - WIDTH).abs() < 0.1 && (bold[1] - bold[3] - HEIGHT).abs() < 0.1);
    assert!((bold[5] - bold[3] - HEIGHT / 2.0).abs() < 0.1);
    assert_eq!(svg.matches("a &amp; b").count(), 2);
    assert!(lines[0].contains("dasharray") && !lines[2].contains("dasharray"));
}

#[test]
fn panels_have_the_same_axes() {
    let low = curve(&[[0.0, 0.0], [10.0, 2.0]], Stroke::Bold);
    let high = curve(&[[0.0, 0.0], [5.0, 8.0]], Stroke::Bold);
    let panel = |heading: &str, curve: &Curve| Panel {
        heading: heading.into(),
        curves: vec![curve.clone()],
    };
    let svg = panels(
        &[panel("plain", &low), panel("residual", &high)],
        [&axis(None), &axis(None)],
        "t",
        &Theme::LIGHT,
    );
    let lines: Vec<Vec<f32>> = svg
        .lines()
        .filter(|line| line.contains("<polyline"))
        .map(|line| line.split('"').nth(1).unwrap())
        .map(|points| points.split([' ', ',']).map(|n| n.parse().unwrap()).collect())
        .collect();
    let [low, high] = &lines[..] else { panic!("two lines: {svg}") };
    // From 0 to 10, and to 8, in both.
    assert!((low[2] - low[0] - PANEL_WIDTH).abs() < 0.1);
    assert!((high[2] - high[0] - PANEL_WIDTH / 2.0).abs() < 0.1);
    assert!((low[1] - low[3] - HEIGHT / 4.0).abs() < 0.1);
    assert!((high[1] - high[3] - HEIGHT).abs() < 0.1);
    assert_eq!(low[1], high[1]);
    assert!(high[0] > low[0] + PANEL_WIDTH);
    assert!(svg.contains(">plain<") && svg.contains(">residual<"));
}

#[test]
fn ticks_are_round_and_few() {
    let of = |range| Scale::new(&axis(Some(range)), std::iter::empty(), [0.0, 1.0]).ticks();
    let texts = |range| of(range).into_iter().map(|tick| tick.1).collect::<Vec<_>>();
    assert_eq!(texts([0.0, 10.0]), ["0", "2", "4", "6", "8", "10"]);
    assert_eq!(texts([90.0, 94.0]), ["90", "91", "92", "93", "94"]);
    assert_eq!(texts([0.0, 0.25]), ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25"]);
    assert_eq!(texts([-3.0, 64_000.0])[1], "20000");
    for exponent in -9..9 {
        for width in [1.0, 1.7, 2.3, 3.9, 4.6, 7.1, 9.9] {
            let count = of([0.3, 0.3 + width * 10f64.powi(exponent)]).len();
            assert!((2..=8).contains(&count), "{width}e{exponent}: {count}");
        }
    }
}

#[test]
fn labels_do_not_overlap() {
    assert_eq!(apart(&[10.0, 100.0], 300.0), [10.0, 100.0]);
    assert_eq!(apart(&[10.0, 10.0, 12.0], 300.0), [10.0, 27.0, 44.0]);
    assert_eq!(apart(&[295.0, 299.0], 300.0), [283.0, 300.0]);
    assert!(apart(&[], 300.0).is_empty());
}

#[test]
fn nothing_and_a_single_point_are_drawn() {
    let x = axis(None);
    let empty = curves(&[], [&x, &x], "t", &Theme::AUTO);
    assert!(empty.contains("value") && !empty.contains("NaN"));
    let one = curves(&[curve(&[[3.0, 3.0]], Stroke::Thin)], [&x, &x], "t", &Theme::CSS);
    assert!(one.contains("<polyline") && !one.contains("NaN"));
}
