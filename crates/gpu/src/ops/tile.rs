//! The tiles of a product, and the text of what a thread does in one.

use crate::workgroup::{THREADS, ThreadTile};

/// How a workgroup of 256 threads shares out its tile: each has `rows` rows and `vectors` vectors of four columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) vectors: usize,
}

impl Tile {
    /// One that has no empty columns, where there is one. Wide products take what is fastest on the device.
    pub(super) fn of(columns: usize, fastest: ThreadTile) -> Tile {
        let ThreadTile { rows, vectors } = fastest;
        if columns.is_multiple_of(16 * vectors) {
            return Tile { rows, columns: 16, vectors };
        }
        let width = [16, 8, 4].into_iter().find(|width| columns.is_multiple_of(*width));
        Tile { rows: 4, columns: width.unwrap_or(4), vectors: 1 }
    }

    /// Rows of a workgroup.
    pub(super) fn tile_rows(self) -> usize {
        THREADS as usize / self.columns * self.rows
    }

    /// Workgroups that columns take.
    pub(super) fn column_tiles(self, columns: usize) -> usize {
        columns.div_ceil(self.columns * self.vectors)
    }

    /// The text of the sums' declarations.
    pub(super) fn zero(self) -> String {
        self.each(|row, vector| format!("var sum_{row}_{vector} = vec4<f32>();\n"))
    }

    /// The text of a step of the product, unrolled.
    pub(super) fn multiply(self) -> String {
        let mut text = String::new();
        for at in 0..4 {
            text += "{\n";
            for row in 0..self.rows {
                text += &format!("let left_{row} = a[(ty * ROWS + {row}u) * PITCH + {at}u];\n");
            }
            for (inner, lane) in ["x", "y", "z", "w"].into_iter().enumerate() {
                let k = 4 * at + inner;
                text += "{\n";
                for vector in 0..self.vectors {
                    text += &format!(
                        "let right_{vector} = b[{k}u * TILE_COLUMNS4 + tx + {vector}u * THREAD_COLUMNS];\n"
                    );
                }
                text += &self.each(|row, vector| {
                    format!("sum_{row}_{vector} += left_{row}.{lane} * right_{vector};\n")
                });
                text += "}\n";
            }
            text += "}\n";
        }
        text
    }

    /// The text that stores the sums.
    pub(super) fn store(self) -> String {
        self.each(|row, vector| {
            format!(
                "finish(first_row + ty * ROWS + {row}u, first_column + tx + {vector}u * THREAD_COLUMNS, \
                 sum_{row}_{vector}, rows, class_);\n"
            )
        })
    }

    fn each(self, text: impl Fn(usize, usize) -> String) -> String {
        let rows = (0..self.rows).flat_map(|row| (0..self.vectors).map(move |v| (row, v)));
        rows.map(|(row, vector)| text(row, vector)).collect()
    }
}
