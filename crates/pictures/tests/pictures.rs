//! Every picture is valid SVG, complete, within its bounds, and deterministic.

use std::io::Cursor;

use resnet_pictures::{
    Axis, Bar, Cell, Curve, HeatMap, Panel, Picture, Stroke, Theme, bars, cam, confusion, curves,
    filters, grid, panels, photo_cam, png,
};
use resvg::usvg::{Group, Node, Options, Tree, fontdb::Database};

const LONG: &str = "a name of forty characters, or a few more";
const HOSTILE: &str = "<b>\"R&D\" 'x'</b>\u{0}\n犬";

fn picture(width: usize, height: usize) -> Picture {
    let channel = |i: usize| (i * 37 % 256) as u8;
    Picture::new(width, height, (0..3 * width * height).map(channel).collect())
}

fn cells(n: usize, name: &str) -> Vec<Cell> {
    let cell = |i: usize| Cell {
        picture: picture(32, 32),
        predicted: name.to_owned(),
        truth: if i % 4 == 1 { "deer".into() } else { name.to_owned() },
        correct: i % 4 != 1,
        confidence: Some(i as f32 / n as f32),
        file: None,
    };
    (0..n).map(cell).collect()
}

fn classes(n: usize, name: &str) -> (Vec<Vec<u64>>, Vec<String>) {
    let count = |t: usize, p: usize| if t == p { 90 } else { ((t * 7 + p * 3) % 11 / 9) as u64 };
    let counts = (0..n).map(|t| (0..n).map(|p| count(t, p)).collect()).collect();
    (counts, (0..n).map(|i| format!("{name} {i}")).collect())
}

/// All pictures, of ordinary and of unusual data.
fn gallery(theme: &Theme) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for name in ["automobile", LONG, HOSTILE] {
        for n in [0, 1, 5] {
            let bar = |i: usize| Bar {
                label: format!("{name} {i}"),
                value: 100.0 * i as f64,
                figure: format!("{i}00 images/s"),
                ours: i == 1,
            };
            let chart = bars(&(0..n).map(bar).collect::<Vec<_>>(), (name, name), theme);
            all.push((format!("{n} bars, {name}"), chart));
        }
        for n in [0, 1, 5, 32] {
            let svg = grid(&cells(n, name), ("29 of 32 correct", name), theme);
            all.push((format!("grid of {n}, {name}"), svg));
        }
        let many = if name == LONG { 1000 } else { 100 };
        for n in [1, 2, 10, 16, 17, 40, 41, many] {
            let (counts, classes) = classes(n, name);
            let svg = confusion(&counts, &classes, ("91.73% accuracy", "resnet20"), theme);
            all.push((format!("confusion of {n}, {name}"), svg));
        }
        let heat = HeatMap { rows: 2, columns: 2, values: vec![1.0, -1.0, 0.5, f32::NAN] };
        let pairs: Vec<_> = cells(5, name).into_iter().map(|cell| (cell, heat.clone())).collect();
        all.push((format!("maps, {name}"), cam(&pairs, (name, name), theme)));
        for (side, classes) in [(32, 1), (224, 5), (500, 3)] {
            let map = HeatMap { rows: 2, columns: 2, values: vec![1.0, f32::NAN, -1.0, 0.5] };
            let top: Vec<_> =
                (0..classes).map(|i| (name.to_owned(), 0.9 / (i + 1) as f32)).collect();
            let svg = photo_cam(&picture(side, side), &map, &top, (name, name), theme);
            all.push((format!("map of a photo of {side}, {name}"), svg));
        }
    }
    for shape in [[1, 1, 1, 1], [16, 3, 3, 3], [64, 3, 7, 7], [5, 4, 3, 5], [2, 1, 80, 80]] {
        let weights: Vec<f32> =
            (0..shape.iter().product()).map(|i: usize| i as f32 - 9.0).collect();
        all.push((format!("filters {shape:?}"), filters(&weights, shape, "conv1", theme)));
    }
    for (width, height) in [(1, 1), (28, 28), (224, 160), (1000, 1), (1, 300)] {
        let mut cells = cells(2, "x");
        cells[0].picture = picture(width, height);
        all.push((format!("grid of {width}x{height}"), grid(&cells, "", theme)));
    }
    all
}

fn tree(svg: &str) -> Tree {
    let mut fonts = Database::new();
    fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
    fonts.load_font_data(notosans::BOLD_TTF.to_vec());
    fonts.set_sans_serif_family("Noto Sans");
    let options = Options { fontdb: fonts.into(), ..Options::default() };
    Tree::from_str(svg, &options).unwrap_or_else(|e| panic!("{e}: {svg}"))
}

fn visit(group: &Group, see: &mut dyn FnMut(&Node)) {
    for node in group.children() {
        see(node);
        if let Node::Group(group) = node {
            visit(group, see);
        }
    }
}

/// Charts of few and many curves, with ordinary and unusual names.
fn charts(theme: &Theme) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for name in ["automobile", LONG, HOSTILE] {
        for n in [0, 1, 5, 32] {
            let curve = |i: usize| Curve {
                label: format!("{name} {i}"),
                points: (0..n).map(|x| [x as f64, (x * i) as f64]).collect(),
                stroke: [Stroke::Bold, Stroke::Thin, Stroke::Dashed][i % 3],
                colour: i,
            };
            let lines: Vec<Curve> = (0..n.min(6)).map(curve).collect();
            let axis = Axis { label: name.into(), ..Axis::default() };
            let (axes, title) = ([&axis, &axis], (name, name));
            all.push((format!("{n} curves, {name}"), curves(&lines, axes, title, theme)));
            let two = [0, n / 2].map(|from| Panel {
                heading: name.into(),
                curves: lines.get(from..).unwrap_or_default().to_vec(),
            });
            all.push((format!("panels of {n}, {name}"), panels(&two, axes, title, theme)));
        }
    }
    all
}

#[test]
fn everything_is_inside_the_picture() {
    for (name, svg) in [gallery(&Theme::LIGHT), charts(&Theme::LIGHT)].concat() {
        let tree = tree(&svg);
        let (width, height) = (tree.size().width(), tree.size().height());
        let mut seen = 0;
        visit(tree.root(), &mut |node| {
            let margin = if matches!(node, Node::Text(_)) { 4.0 } else { 0.0 };
            let place = node.abs_stroke_bounding_box();
            let inside = place.left() >= margin
                && place.top() >= margin
                && place.right() <= width - margin
                && place.bottom() <= height - margin;
            assert!(inside, "{name}: {place:?} in {width} x {height}: {node:?}");
            seen += 1;
        });
        assert!(seen > 0, "{name}");
    }
}

/// Drawn texts with their places.
fn texts(svg: &str) -> Vec<(String, resvg::usvg::Rect)> {
    let mut texts = Vec::new();
    visit(tree(svg).root(), &mut |node| {
        if let Node::Text(text) = node {
            let line = text.chunks().iter().map(|chunk| chunk.text()).collect();
            texts.push((line, text.abs_bounding_box()));
        }
    });
    texts
}

#[test]
fn texts_do_not_overlap() {
    let slanted = |svg: &str| svg.contains("rotate(");
    for (name, svg) in gallery(&Theme::LIGHT).into_iter().filter(|(_, svg)| !slanted(svg)) {
        let texts = texts(&svg);
        for (i, (one, a)) in texts.iter().enumerate() {
            for (other, b) in &texts[i + 1..] {
                let apart = a.right() <= b.left() + 0.5
                    || b.right() <= a.left() + 0.5
                    || a.bottom() <= b.top() + 0.5
                    || b.bottom() <= a.top() + 0.5;
                assert!(apart, "{name}: '{one}' and '{other}'");
            }
        }
    }
}

#[test]
fn a_grid_has_every_image_and_marks_mistakes() {
    let svg = grid(&cells(32, "frog"), "29 of 32 correct", &Theme::LIGHT);
    assert_eq!(svg.matches("<image ").count(), 32);
    let texts = texts(&svg);
    let count = |line: &str| texts.iter().filter(|(text, _)| text == line).count();
    assert_eq!((count("frog"), count("true: deer"), count("29 of 32 correct")), (32, 8, 1));
    // A cross and a frame for each mistake, a tick for each other image.
    let Theme { good, bad, .. } = Theme::LIGHT;
    assert_eq!(svg.matches(&format!("stroke=\"{bad}\"")).count(), 2 * 8);
    assert_eq!(svg.matches(&format!("stroke=\"{good}\"")).count(), 24);
}

#[test]
fn a_small_confusion_matrix_has_percentages_and_counts() {
    let classes = ["cat", "dog"].map(String::from);
    let svg = confusion(&[vec![3, 1], vec![0, 0]], &classes, "", &Theme::LIGHT);
    let texts: Vec<String> = texts(&svg).into_iter().map(|(text, _)| text).collect();
    for expected in ["75.0", "25.0", "3", "1", "75.0%", "no images"] {
        assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
    }
}

#[test]
fn the_legend_of_a_confusion_matrix_has_small_shares() {
    let classes = ["cat", "dog"].map(String::from);
    for (mistakes, of, end) in [
        (1, 100_000, "&lt;0.01%"),
        (1, 10_000, "0.01%"),
        (250, 10_000, "2.5%"),
        (2500, 10_000, "25%"),
    ] {
        let counts = [vec![of - mistakes, mistakes], vec![0, of]];
        let svg = confusion(&counts, &classes, "", &Theme::LIGHT);
        assert!(svg.contains(&format!(">{end}<")) && svg.contains(">100%<"), "{end}");
    }
}

#[test]
fn a_large_confusion_matrix_lists_the_most_confused() {
    let (mut counts, classes) = classes(100, "class");
    counts[7][9] = 50;
    let svg = confusion(&counts, &classes, "", &Theme::LIGHT);
    let texts = texts(&svg);
    assert!(texts.len() < 60, "{} texts", texts.len());
    assert!(texts.iter().any(|(text, _)| text == "class 7 predicted as class 9"));
}

#[test]
fn names_are_escaped() {
    let name = "<b>&\"R&D\"";
    let svg = grid(&cells(1, name), name, &Theme::LIGHT);
    assert!(!svg.contains("<b>"));
    assert!(texts(&svg).iter().filter(|(text, _)| text == name).count() >= 2);
}

#[test]
fn pictures_are_deterministic_in_each_theme() {
    let pictures = gallery(&Theme::LIGHT);
    assert!(pictures == gallery(&Theme::LIGHT));
    for ((name, light), (_, css)) in pictures.iter().zip(gallery(&Theme::CSS)) {
        assert!(css.contains("var(--") && !css.contains("fill=\"#"), "{name}");
        assert_eq!(light.matches("<text").count(), css.matches("<text").count(), "{name}");
    }
    for ((name, light), (_, auto)) in pictures.iter().zip(gallery(&Theme::AUTO)) {
        assert!(auto.contains("<style>@media (prefers-color-scheme:dark)"), "{name}");
        assert!(texts(light) == texts(&auto), "{name}");
    }
}

/// Columns, rows and pixels.
fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels)
}

#[test]
fn a_png_has_the_given_scale_and_crisp_pixels() {
    let image = Picture::new(2, 1, vec![255, 0, 0, 0, 0, 255]);
    let cell = Cell { picture: image, correct: true, ..cells(1, "flag").remove(0) };
    let svg = grid(&[cell], "", &Theme::DARK);
    let size = tree(&svg).size();
    for scale in [1.0, 2.0] {
        let (width, height, pixels) = decoded(&png(&svg, scale).unwrap());
        assert_eq!(width, (size.width() * scale) as u32);
        assert_eq!(height, (size.height() * scale) as u32);
        let count = |rgb: [u8; 3]| pixels.chunks_exact(4).filter(|p| p[..3] == rgb).count();
        let each = (64.0 * scale) as usize;
        assert_eq!((count([255, 0, 0]), count([0, 0, 255])), (each * each, each * each));
        assert!(pixels.chunks_exact(4).all(|p| p[3] == 255), "opaque");
    }
}

#[test]
fn files_are_named_below_their_images() {
    let mut named = cells(4, "cat");
    for (i, cell) in named.iter_mut().enumerate() {
        cell.file = Some(format!("cats/<{i}> & a name that is far too long for one image.jpg"));
    }
    let [plain, svg] = [cells(4, "cat"), named].map(|cells| grid(&cells, "", &Theme::LIGHT));
    // The start of the name, and in the tooltip all of it.
    assert_eq!(svg.matches(">&lt;2&gt; &amp; a name").count(), 1, "{svg}");
    assert_eq!(svg.matches("; cats/&lt;2&gt; &amp; a name that is far too long").count(), 1);
    let lines = (tree(&svg).size().height() - tree(&plain).size().height()) / 21.0;
    assert!((lines - 1.0).abs() < 0.1, "{lines}");
    // The true class of the mistake is a line below.
    let y = |text: &str| -> f32 {
        let line = svg.lines().find(|line| line.contains(text)).unwrap();
        line.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    assert!((y(">true: deer<") - y(">&lt;1&gt; ") - 21.0).abs() < 0.1);
}

#[test]
fn the_style_sheet_does_not_change_a_png() {
    let draw = |theme| png(&grid(&cells(2, "cat"), "1 of 2", theme), 1.0).unwrap();
    assert!(draw(&Theme::LIGHT) == draw(&Theme::AUTO));
    assert!(draw(&Theme::LIGHT) != draw(&Theme::DARK));
}

#[test]
fn text_with_missing_glyphs_can_be_drawn() {
    png(&grid(&cells(2, HOSTILE), HOSTILE, &Theme::LIGHT), 1.0).unwrap();
}

#[test]
fn invalid_svg_is_an_error() {
    assert!(png("<svg", 1.0).unwrap_err().to_string().contains("not a valid SVG"));
    let svg = grid(&cells(1, "cat"), "", &Theme::LIGHT);
    assert!(png(&svg, 0.0).unwrap_err().to_string().contains("0 x 0"));
}
