// The threads of a workgroup are ROWS rows of COLUMNS, a column for four channels.
const ROWS = 256u / COLUMNS;

var<workgroup> sums: array<vec4<f32>, 256>;
var<workgroup> products: array<vec4<f32>, 256>;

// Adds up two values of each thread over the rows. The first row has the totals.
fn add_rows(lid: u32, sum: vec4<f32>, product: vec4<f32>) {
    sums[lid] = sum;
    products[lid] = product;
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lid / COLUMNS < half {
            sums[lid] += sums[lid + half * COLUMNS];
            products[lid] += products[lid + half * COLUMNS];
        }
    }
}

