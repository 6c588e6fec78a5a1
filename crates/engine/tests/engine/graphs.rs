//! Networks that are awkward to lower, and their batches.

use resnet_network::{
    Arch, Graph, Network,
    graph::Op,
    network::Init,
    random::{Purpose, Random},
};

pub(crate) const CHANNELS: usize = 2;
pub(crate) const CLASSES: usize = 3;
pub(crate) const SIDES: [usize; 2] = [14, 16];

/// Images `[n][channels][rows][columns]` of noise.
pub(crate) fn noise(images: usize, key: u64) -> Vec<f32> {
    let mut random = Random::new(9, Purpose::Synthetic, &[key]);
    (0..images * CHANNELS * SIDES[0] * SIDES[1]).map(|_| random.normal()).collect()
}

pub(crate) fn labels(images: usize) -> Vec<u32> {
    (0..images).map(|i| (i % CLASSES) as u32).collect()
}

/// Every operation, also where nothing can be fused: values that are read twice, sums of sums, a
/// value that is both input and residual, batch norms that follow no convolution.
fn odd() -> Graph {
    let mut g = Graph::new(CHANNELS);
    let x = g.conv2d("stem", Graph::INPUT, 6, 5, 2, 2);
    let n = g.batch_norm2d("n1", x);
    let same = g.add("n1_plus_x", n, x);
    let p = g.max_pool2d("pool", same, 3, 2, 1);
    let r = g.relu("relu", p);
    let c = g.conv2d("c", r, 6, 3, 1, 1);
    let s = g.add("sum", c, p);
    let s = g.relu("sum_relu", s);
    let wide = g.push("wide", Op::PadShortcut { stride: 2 }, &[s], 11);
    let d = g.conv2d("d", s, 11, 1, 2, 0);
    let d = g.batch_norm2d("n2", d);
    let e = g.add("e", wide, d);
    let f = g.batch_norm2d("n3", e);
    let twice = g.add("twice", f, e);
    let h = g.conv2d("h", twice, 11, 3, 1, 1);
    let n4 = g.batch_norm2d("n4", h);
    let once = g.add("once", n4, twice);
    let again = g.add("again", h, once);
    let once = g.relu("once_relu", once);
    let both = g.add("both", once, again);
    let a = g.global_avg_pool("avg", both);
    g.linear("head", a, CLASSES);
    g
}

/// Wide enough for Winograd, with both strides, batch norms that are applied as they are read, and
/// 1x1 convolutions.
fn wide() -> Graph {
    let mut g = Graph::new(CHANNELS);
    let x = g.conv2d("stem", Graph::INPUT, 32, 3, 1, 1);
    let x = g.batch_norm2d("n0", x);
    let x = g.relu("r0", x);
    let c = g.conv2d("c1", x, 32, 3, 1, 1);
    let c = g.batch_norm2d("n1", c);
    let c = g.relu("r1", c);
    let c = g.conv2d("c2", c, 32, 3, 2, 1);
    let c = g.batch_norm2d("n2", c);
    let d = g.conv2d("down", x, 32, 1, 2, 0);
    let s = g.add("sum", c, d);
    let s = g.relu("r2", s);
    let w = g.conv2d("wider", s, 64, 1, 1, 0);
    let a = g.global_avg_pool("avg", w);
    g.linear("head", a, CLASSES);
    g
}

/// Groups of every kind: narrower than a vector, of a vector, wider, each channel alone, more
/// outputs than inputs; average pools, also of windows that edges cut.
fn grouped() -> Graph {
    let mut g = Graph::new(CHANNELS);
    let x = g.grouped_conv2d("stem", Graph::INPUT, 32, [3, 1, 1], 2);
    let x = g.batch_norm2d("n0", x);
    let x = g.relu("r0", x);
    let c = g.grouped_conv2d("c1", x, 32, [3, 1, 1], 8);
    let c = g.batch_norm2d("n1", c);
    let c = g.relu("r1", c);
    let c = g.grouped_conv2d("c2", c, 64, [3, 2, 1], 2);
    let c = g.batch_norm2d("n2", c);
    let d = g.avg_pool2d("down.0", x, 2);
    let d = g.conv2d("down.1", d, 64, 1, 1, 0);
    let d = g.batch_norm2d("down.2", d);
    let s = g.add("sum", c, d);
    let s = g.relu("r2", s);
    let c = g.grouped_conv2d("c3", s, 64, [3, 1, 1], 64);
    let c = g.batch_norm2d("n3", c);
    let s = g.add("sum2", c, s);
    let p = g.avg_pool2d("pool", s, 3);
    let c = g.grouped_conv2d("c4", p, 24, [1, 1, 0], 8);
    let c = g.grouped_conv2d("c5", c, 24, [1, 1, 0], 4);
    let c = g.relu("r5", c);
    let a = g.global_avg_pool("avg", c);
    g.linear("head", a, CLASSES);
    g
}

fn network(graph: Graph) -> Network {
    Network::new(graph, Init::He, 4)
}

/// An architecture for the images and classes here, with random parameters.
pub(crate) fn net(name: &str, width: usize) -> Network {
    network(name.parse::<Arch>().expect("a name").graph_with(CHANNELS, CLASSES, width))
}

/// Each with a name and random parameters.
pub(crate) fn nets() -> Vec<(&'static str, Network)> {
    [
        ("odd", network(odd())),
        ("wide", network(wide())),
        ("grouped", network(grouped())),
        ("resnet8", net("resnet8", 4)),
        ("plain8", net("plain8", 5)),
        ("resnet18", net("resnet18", 3)),
        ("resnet50-cifar", net("resnet50-cifar", 2)),
        ("resnet8-sprint", net("resnet8-sprint+gelu", 4)),
        ("preresnet8", net("preresnet8+silu", 4)),
        ("plain8-sprint", net("plain8-sprint+relu", 5)),
    ]
    .into()
}

/// Distance from the truth by norm, against the norm of the truth.
pub(crate) fn distance<T: Copy + Into<f64>>(got: &[T], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let got = got.iter().map(|&g| -> f64 { g.into() });
    let difference = norm(&mut got.zip(want).map(|(g, w)| g - w));
    difference / norm(&mut want.iter().copied()).max(1e-6)
}
