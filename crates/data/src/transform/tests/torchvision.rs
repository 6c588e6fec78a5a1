//! The same pixels as torchvision's for the same parameters: `make_transforms.py` made the cases.

use resnet_network::preprocess::Interpolation;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value};
use sha2::{Digest, Sha256};

use super::super::{
    affine::{Sampling, affine, rotation},
    choice::{Choice, Scratch},
    crop::Window,
    erase::Erased,
    mix::Mixed,
    operation::Operation,
    settings::{
        CenterCrop, Crop, PcaNoise, RandAugment, RandomCrop, Shorter, Transform, TrivialAugmentWide,
    },
};
use crate::photo::Photo;

const CASES: &str = include_str!("../../../tests/transforms/cases.json");

/// The images of `make_transforms.py`.
fn image(kind: &str, width: usize, height: usize) -> Photo {
    let mut state = (width * 1000 + height) as u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 24) as u8;
        match kind {
            "noise" => noise,
            "dark" => noise / 8 + 20,
            _ => 77,
        }
    };
    Photo { height, width, channels: 3, pixels: (0..height * width * 3).map(byte).collect() }
}

/// Reads the parameters of a case one by one.
struct Case(std::vec::IntoIter<Value>);

impl Case {
    fn next<T: DeserializeOwned>(&mut self) -> T {
        from_value(self.0.next().expect("another parameter")).expect("a parameter of this type")
    }
}

/// A choice that does nothing but a window.
fn choice(window: Window, size: [usize; 2], mirrored: [u8; 2]) -> Choice {
    Choice {
        size,
        window,
        interpolation: Interpolation::Bilinear,
        mirrored: mirrored.map(|bit| bit == 1),
        operations: Vec::new(),
        erased: None,
    }
}

/// A choice that keeps the photo as it is.
fn kept(photo: &Photo) -> Choice {
    let size = [photo.height, photo.width];
    let window = Window { part: size.map(|len| 0..len), resized: size, first: [0; 2] };
    choice(window, size, [0; 2])
}

fn ranges([top, left, height, width]: [usize; 4]) -> [std::ops::Range<usize>; 2] {
    [top..top + height, left..left + width]
}

/// What happens to the photo of a case.
fn chosen(name: &str, photo: &Photo, case: &mut Case) -> Choice {
    let whole = kept(photo);
    let size = whole.size;
    let factor = |operation: fn(f32) -> Operation, case: &mut Case| vec![operation(case.next())];
    let operations = match name {
        "crop" => {
            let (part, size) = (ranges(case.next()), case.next());
            let (interpolation, mirrored) = (case.next(), case.next());
            let window = Window { part, resized: size, first: [0; 2] };
            return Choice { interpolation, ..choice(window, size, mirrored) };
        }
        "center" => {
            let crop = Crop::Center(CenterCrop { resize: case.next() });
            let transform = Transform { crop, horizontal_flip: 0.0, ..Transform::default() };
            return transform.choose(0, 1, 2, size, case.next());
        }
        "place" => {
            let window = Window { first: case.next(), ..whole.window };
            return choice(window, case.next(), case.next());
        }
        "erase" => {
            let erased = Some(Erased { part: ranges(case.next()), random: None });
            return Choice { erased, ..whole };
        }
        "rotate" => {
            let matrix = rotation(case.next(), size);
            vec![Operation::Affine { matrix, sampling: case.next(), fill: case.next() }]
        }
        "affine" => {
            let centre = [size[1] as f64 * 0.5, size[0] as f64 * 0.5];
            let matrix = affine(case.next(), case.next(), case.next(), case.next(), centre);
            vec![Operation::Affine { matrix, sampling: case.next(), fill: case.next() }]
        }
        "brightness" => factor(Operation::Brightness, case),
        "contrast" => factor(Operation::Contrast, case),
        "saturation" => factor(Operation::Saturation, case),
        "sharpness" => factor(Operation::Sharpness, case),
        "hue" => factor(Operation::Hue, case),
        "pca_noise" => {
            let (std, normal): (f64, [f64; 3]) = (case.next(), case.next());
            vec![PcaNoise { std, ..PcaNoise::default() }.operation(normal)]
        }
        "random_crop" => {
            // The shorter side and the place that were drawn.
            let shorter: usize = case.next();
            let resize = Some(Shorter::Between([shorter; 2]));
            let crop = Crop::Random(RandomCrop { resize, padding: 0 });
            let transform = Transform { crop, horizontal_flip: 0.0, ..Transform::default() };
            let (first, size) = (case.next(), case.next());
            let mut choice = transform.choose(0, 1, 2, [photo.height, photo.width], size);
            choice.window.first = first;
            return choice;
        }
        "jitter" => {
            let (order, factors): ([usize; 4], [f32; 4]) = (case.next(), case.next());
            let operations: [fn(f32) -> Operation; 4] =
                [Operation::Brightness, Operation::Contrast, Operation::Saturation, Operation::Hue];
            order.into_iter().map(|i| operations[i](factors[i])).collect()
        }
        "rand_augment" | "trivial_augment_wide" => {
            let [kind, magnitude, negative]: [usize; 3] = case.next();
            let (interpolation, fill): (Sampling, _) = (case.next(), case.next());
            let space = match name {
                "rand_augment" => {
                    RandAugment { interpolation, fill, ..RandAugment::default() }.space(size)
                }
                _ => TrivialAugmentWide { interpolation, fill }.space(),
            };
            let operation = space.operation(kind as u64, magnitude, negative == 1, size);
            operation.into_iter().collect()
        }
        _ => unreachable!("a case named {name}"),
    };
    Choice { operations, ..whole }
}

/// A mixed batch, with its targets checked.
fn mixed(name: &str, photo: Photo, case: &mut Case) -> Vec<u8> {
    let part = (name == "cutmix").then(|| ranges(case.next()));
    let share = case.next();
    let mixed = match part {
        None => Mixed::Blend(share),
        Some(part) => Mixed::Patch { part, share },
    };
    let (labels, expected): (Vec<u32>, Vec<[f32; 4]>) = (case.next(), case.next());
    let mut targets = vec![7.0];
    mixed.targets(&labels, 4, &mut targets);
    assert_eq!(targets, expected.concat(), "{mixed:?} {labels:?}");
    let mut pixels = photo.pixels;
    mixed.write(&mut pixels, [6, 8], 3, &mut vec![9]);
    pixels
}

#[test]
fn pixels_equal_torchvisions() {
    let cases: Vec<Vec<Value>> = serde_json::from_str(CASES).unwrap();
    let mut scratch = Scratch::default();
    let (mut names, mut wrong) = (Vec::new(), Vec::new());
    for case in cases {
        let text = serde_json::to_string(&case).unwrap();
        let mut case = Case(case.into_iter());
        let name: String = case.next();
        let (kind, width, height): (String, _, _) = case.next();
        let photo = image(&kind, width, height);
        let pixels = if name == "mixup" || name == "cutmix" {
            mixed(&name, photo, &mut case)
        } else {
            let choice = chosen(&name, &photo, &mut case);
            let mut out = vec![99; 3 * choice.size[0] * choice.size[1]];
            choice.write(&photo, [124, 116, 104], &mut scratch, &mut out);
            out
        };
        if name == "erase" {
            case.next::<[u8; 3]>(); // the mean above
        }
        let digest: String =
            Sha256::digest(&pixels)[..8].iter().map(|b| format!("{b:02x}")).collect();
        if digest != case.next::<String>() {
            wrong.push(text);
        }
        assert_eq!(case.0.len(), 0, "parameters are left of {name}");
        names.push(name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 18, "{names:?}");
}
