//! Products of matrices, and Muon, which is made of them.

use resnet_kernels::{
    Cpu,
    matrix::{Matrix, multiply, multiply_symmetric, scratch_len},
    muon::{self, Shape, Update},
};

use super::caller::Caller;

pub(crate) fn product(c: &mut Caller<'_>, cpu: &Cpu) {
    let (rows, depth) = (c.one_of(&[1, 7, 33, 200]), c.one_of(&[1, 16, 193]));
    let symmetric = c.flip();
    let columns = if symmetric { rows } else { c.one_of(&[1, 20, 70]) };
    let (by_rows, by_columns) = (c.flip(), c.flip() || symmetric);
    let a = c.exactly("a", rows * depth);
    let a = c.slice(a);
    let b = c.exactly("b", depth * columns);
    // Of a symmetric product, the transpose of A.
    let b = if symmetric && b == a.len() { None } else { Some(c.slice(b)) };
    let b = b.as_deref().unwrap_or(&a);
    let (height, width) = (c.size("rows", rows), c.size("depth", depth));
    let a = if by_rows || symmetric {
        Matrix::new(&a, height, width)
    } else {
        Matrix::new(&a, width, height).transposed()
    };
    let (height, width) = (c.size("depth of b", depth), c.size("columns", columns));
    let b = if by_columns {
        Matrix::new(b, width, height).transposed()
    } else {
        Matrix::new(b, height, width)
    };
    let to = c.exactly("product", rows * columns);
    let scratch = c.at_least("scratch", scratch_len(cpu));
    let (mut to, mut scratch) = (c.slice(to), c.slice(scratch));
    let beta = if c.flip() || symmetric { 0.0 } else { 0.5 };
    let multiply = if symmetric { multiply_symmetric } else { multiply };
    multiply(cpu, (1.0, a, b), beta, &mut to, &mut scratch);
    c.finite(&to);
}

pub(crate) fn muon(c: &mut Caller<'_>, cpu: &Cpu) {
    let right = Shape { rows: c.one_of(&[1, 10, 40]), columns: c.one_of(&[1, 9, 27, 450]) };
    let len = right.rows * right.columns;
    let steps = 1 + c.choose(4);
    let u = Update {
        lr: 0.1,
        momentum: 0.9,
        weight_decay: 5e-4,
        steps: c.site("steps", steps, &[0]),
        rescale: c.flip(),
    };
    let shape =
        Shape { rows: c.size("rows", right.rows), columns: c.size("columns", right.columns) };
    let (w, buffer) = (c.exactly("weight", len), c.exactly("momentum", len));
    let (mut w, mut buffer) = (c.slice(w), c.slice(buffer));
    let gradient = c.exactly("gradient", len);
    let scratch = c.at_least("scratch", right.scratch_len(cpu));
    let (gradient, mut scratch) = (c.slice(gradient), c.slice(scratch));
    muon::update(cpu, u, shape, &mut w, &mut buffer, &gradient, &mut scratch);
    c.finite(&[&w[..], &buffer].concat());
}
