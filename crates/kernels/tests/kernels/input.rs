use resnet_kernels::{
    input::{ByteTable, from_bytes, from_nchw, subtract},
    layout::ImageLayout,
};

use crate::testing::on_every_isa;

#[test]
fn both_ways_agree_and_keep_the_border() {
    on_every_isa(|cpu| {
        let layout = ImageLayout { channels: 3, height: 2, width: 4, border: 1 };
        let bytes: Vec<u8> = (0..2 * 24u8).map(|i| i * 5).collect();
        let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]);
        let mut nchw = vec![0.0; 48];
        for (i, &byte) in bytes.iter().enumerate() {
            let (n, pixel, c) = (i / 24, i / 3 % 8, i % 3);
            nchw[(n * 3 + c) * 8 + pixel] = (f32::from(byte) / 255.0 - mean[c]) / std[c];
        }
        let mut a = vec![0.0; 2 * layout.image_len()];
        let mut b = a.clone();
        from_bytes(cpu, &layout, 2, &bytes, &ByteTable::new(&mean, &std), &mut a);
        from_nchw(cpu, &layout, 2, &nchw, &mut b);
        assert_eq!(a, b);
        // Of each image, and not of the border.
        let image: Vec<f32> = (0..24).map(|i| 0.25 * i as f32 + 1.0).collect();
        let mut less = a.clone();
        subtract(cpu, &layout, 2, &image, &mut less);
        let row = layout.columns() * 3;
        for (i, (&less, &value)) in less.iter().zip(&a).enumerate() {
            let (y, x) = (i % layout.image_len() / row, i % row / 3);
            let inside = (1..=2).contains(&y) && (1..=4).contains(&x);
            let of_image = if inside { image[((y - 1) * 4 + x - 1) * 3 + i % 3] } else { 0.0 };
            assert_eq!(less, value - of_image, "{i}");
        }
        assert_eq!(a.iter().filter(|&&v| v != 0.0).count(), 48);
        assert!(a[..layout.columns() * 3].iter().all(|&v| v == 0.0));
    });
}
