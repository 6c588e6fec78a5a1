//! Muon: momentum, made orthogonal by Newton-Schulz iterations on the Gram matrix, as [`resnet_kernels::muon`].

use std::ops::Range;

use resnet_kernels::muon::{COEFFICIENTS, GRAM_STEPS, Shape, Update};
use resnet_network::{Network, optim};

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    kernel::{Dispatch, Element, Kernel, Work},
    memory::Arenas,
    update::{SQUARES, arena, submit},
    workgroup::{self, THREADS},
};

const MATMUL: &str = include_str!("shaders/matmul.wgsl");
const MOMENTUM: &str = include_str!("shaders/muon_momentum.wgsl");
const FACTORS: &str = include_str!("shaders/muon_factors.wgsl");

/// Rows and columns of a workgroup's part of a product.
const SIDE: usize = 64;

/// The passes over the weights that Muon trains.
#[derive(Debug)]
pub(crate) struct Muon {
    weights: Vec<Weight>,
}

/// The passes over one weight, in their order. Squares are as large as the shorter side of the weight.
#[derive(Debug)]
struct Weight {
    range: Range<usize>,
    rows: usize,
    columns: usize,
    momentum: Dispatch,
    /// Of the update, and of the weight.
    squares: [Dispatch; 2],
    factors: Dispatch,
    /// Both.
    scale: [Dispatch; 2],
    /// `gram = X X^T`, of the shorter side.
    gram: Dispatch,
    /// `p = a + b gram + c gram^2`.
    polynomial: Dispatch,
    /// `q = p`.
    first: Dispatch,
    /// `next = p q`, `q = next`.
    further: [Dispatch; 2],
    /// `next = p gram`, `gram = p next`.
    following: [Dispatch; 2],
    /// `Y = q X`, `X = Y`.
    again: [Dispatch; 2],
    /// `weight += q X`.
    last: Dispatch,
}

/// The memory that all weights share.
struct Scratch {
    x: View,
    y: View,
    /// Sums of squares, and behind those two factors.
    sums: View,
    gram: View,
    p: View,
    q: View,
    next: View,
}

/// How a product ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Store,
    Polynomial,
    /// It is added to what begins at a value.
    Add(usize),
}

impl Muon {
    /// For the weights that [`optim::Muon::trains`]. `momentum` is in the order of [`Network::values`].
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        arenas: &Arenas,
        momentum: &wgpu::Buffer,
        batch: usize,
    ) -> Result<Self, GpuError> {
        let trained: Vec<(Range<usize>, Shape)> = network
            .params()
            .iter()
            .filter(|param| optim::Muon::trains(network.graph(), param.node))
            .map(|param| {
                let rows = param.shape[0];
                (param.range.clone(), Shape { rows, columns: param.range.len() / rows })
            })
            .collect();
        let most = |of: fn(&Shape) -> usize| trained.iter().map(|(_, shape)| of(shape)).max();
        let values = most(|shape| shape.rows * shape.columns).unwrap_or(0);
        let square = most(|shape| shape.side() * shape.side()).unwrap_or(0);
        let allocator = Allocator::new(gpu, batch);
        let make = |len: usize| -> Result<View, GpuError> {
            Ok(View::whole(&allocator.zeros("the optimiser's scratch", len * size_of::<f32>())?))
        };
        let scratch = Scratch {
            x: make(values)?,
            y: make(values)?,
            sums: make(2 * values.div_ceil(SQUARES) + 2)?,
            gram: make(square)?,
            p: make(square)?,
            q: make(square)?,
            next: make(square)?,
        };
        let weights = trained
            .into_iter()
            .map(|(range, shape)| Weight::new(gpu, range, shape, arenas, momentum, &scratch))
            .collect::<Result<_, _>>()?;
        Ok(Muon { weights })
    }

    /// One update of the weight of a range.
    ///
    /// # Panics
    /// If no weight that Muon trains has the range, or there are no iterations.
    pub(crate) fn run(&self, gpu: &Gpu, range: &Range<usize>, update: Update) {
        let weight = self.weights.iter().find(|weight| weight.range == *range);
        submit(gpu, &weight.expect("a weight that Muon trains").passes(update));
    }
}

impl Weight {
    fn new(
        gpu: &Gpu,
        range: Range<usize>,
        shape: Shape,
        arenas: &Arenas,
        momentum: &wgpu::Buffer,
        scratch: &Scratch,
    ) -> Result<Self, GpuError> {
        let Shape { rows, columns } = shape;
        let (len, side, is_wide) = (range.len(), shape.side(), rows <= columns);
        let Scratch { x, y, sums, gram, p, q, next } = scratch;
        let parameters = View::whole(&arenas.parameters);
        let gradients = View::whole(arenas.gradients.as_ref().expect("training has gradients"));
        let parts = len.div_ceil(SQUARES);
        let momentum = Kernel::new("muon momentum", MOMENTUM)
            .bind("gradients", Element::F32, &gradients)
            .bind("buffer", Element::F32, &View::whole(momentum))
            .bind("update", Element::F32, x)
            .word(0, range.start)
            .word(1, len)
            .build(gpu, Work::fixed(len))?;
        let factors = Kernel::new("muon factors", FACTORS)
            .with(workgroup::SUM)
            .bind("sums", Element::F32, sums)
            .word(2, parts)
            .build(gpu, Work::groups(1, 1))?;
        // Of `len` values from `start` on.
        let pass = |name: &str, to: (&View, usize), other: (&View, usize), len: usize| {
            let each = if name.starts_with("squares") { SQUARES } else { THREADS as usize };
            arena(name, to.0, other.0)
                .word(0, to.1)
                .word(1, len)
                .word(2, other.1)
                .build(gpu, Work::groups(len.div_ceil(each), 1))
        };
        let squares = |of, to| pass("squares(tile, lid);", of, (sums, to), len);
        let scale = |of, by| pass("scale_by(i);", of, (sums, by), len);
        let copy = |from: &View, to: &View, len| pass("copy(i);", (to, 0), (from, 0), len);
        let weight = (&parameters, range.start);
        // Sides of a product, and whether its factors lie transposed.
        let product =
            |a: (&View, bool), b: (&View, bool), c: &View, sides: [usize; 3], end: End| {
                let [rows, columns, depth] = sides;
                let start = if let End::Add(start) = end { start } else { 0 };
                Kernel::new("matmul", MATMUL)
                    .constant("A_TRANSPOSED", a.1.into())
                    .constant("B_TRANSPOSED", b.1.into())
                    .constant("POLYNOMIAL", (end == End::Polynomial).into())
                    .constant("ADD", matches!(end, End::Add(_)).into())
                    .bind("a", Element::F32, a.0)
                    .bind("b", Element::F32, b.0)
                    .bind("c", Element::F32, c)
                    .word(0, rows)
                    .word(1, columns)
                    .word(2, depth)
                    .word(3, start)
                    .build(gpu, Work::groups(rows.div_ceil(SIDE) * columns.div_ceil(SIDE), 1))
            };
        let of_squares = |a, b, c, end| product((a, false), (b, false), c, [side, side, side], end);
        // The polynomial stands on the side of the shorter dimension.
        let of_x = |c: &View, end| match is_wide {
            true => product((q, false), (x, false), c, [rows, columns, rows], end),
            false => product((x, false), (q, false), c, [rows, columns, columns], end),
        };
        let [a, b, c] = COEFFICIENTS;
        let mut polynomial = of_squares(gram, gram, p, End::Polynomial)?;
        [c, b, a].into_iter().enumerate().for_each(|(i, x)| polynomial.set_float(i, x));
        let longer = rows.max(columns);
        let square = side * side;
        Ok(Weight {
            momentum,
            squares: [squares((x, 0), 0)?, squares(weight, parts)?],
            factors,
            scale: [scale((x, 0), 2 * parts)?, scale(weight, 2 * parts + 1)?],
            gram: product((x, !is_wide), (x, is_wide), gram, [side, side, longer], End::Store)?,
            polynomial,
            first: copy(p, q, square)?,
            further: [of_squares(p, q, next, End::Store)?, copy(next, q, square)?],
            following: [
                of_squares(p, gram, next, End::Store)?,
                of_squares(p, next, gram, End::Store)?,
            ],
            again: [of_x(y, End::Store)?, copy(y, x, len)?],
            last: of_x(&parameters, End::Add(range.start))?,
            range: range.clone(),
            rows,
            columns,
        })
    }

    /// The passes of an update.
    fn passes(&self, u: Update) -> Vec<Dispatch> {
        assert!(u.steps > 0, "an update without steps");
        let rows = self.rows as f32;
        let mut momentum = self.momentum.clone();
        momentum.set_float(0, u.momentum);
        let mut factors = self.factors.clone();
        factors.set_float(0, 1.0 - u.lr * u.weight_decay);
        factors.set_float(1, if u.rescale { rows.sqrt() } else { 0.0 });
        let mut last = self.last.clone();
        last.set_float(0, -u.lr * (rows / self.columns as f32).max(1.0).sqrt());
        let mut all = vec![momentum];
        all.extend(self.squares.iter().cloned());
        all.push(factors);
        all.extend(self.scale.iter().cloned());
        for step in 0..u.steps {
            let at = step % GRAM_STEPS;
            if step > 0 && at == 0 {
                all.extend(self.again.iter().cloned());
            }
            if at == 0 {
                all.push(self.gram.clone());
            }
            all.push(self.polynomial.clone());
            match at {
                0 => all.push(self.first.clone()),
                _ => all.extend(self.further.iter().cloned()),
            }
            if at + 1 < GRAM_STEPS && step + 1 < u.steps {
                all.extend(self.following.iter().cloned());
            }
        }
        all.push(last);
        all
    }
}
